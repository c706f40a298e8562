use twowarm_core::version::PgMajor;

/// The program to behave like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// contrib of 8.3: any trigger file ends recovery and is deleted; `-l` creates a symbolic link.
    V8_3,
    /// contrib of 8.4 to 10: smart and fast triggers; `-l` is ignored.
    V8_4,
    /// contrib of 11 to 13: as 8.4, with any segment size, which is read from the segment.
    V13,
    /// 2ndQuadrant's enhanced version: `-v`, a literal `%r`, strict checks of names.
    TwoWarm,
}

/// The names of the dialects, for messages and the man page.
pub const NAMES: &str = "8.3, 8.4, 13 or 2warm";

impl Dialect {
    /// The dialect of this name.
    pub fn named(name: &str) -> Option<Dialect> {
        match name {
            "8.3" => Some(Dialect::V8_3),
            "8.4" => Some(Dialect::V8_4),
            "13" => Some(Dialect::V13),
            "2warm" => Some(Dialect::TwoWarm),
            _ => None,
        }
    }

    /// Its name, as [`named`](Dialect::named) takes it.
    #[cfg(test)]
    pub fn name(self) -> &'static str {
        match self {
            Dialect::V8_3 => "8.3",
            Dialect::V8_4 => "8.4",
            Dialect::V13 => "13",
            Dialect::TwoWarm => "2warm",
        }
    }

    /// The dialect of the program that came with a server.
    pub fn of_server(major: Option<PgMajor>) -> Dialect {
        let before = |text: &str| {
            let limit: PgMajor = text.parse().expect("a major version");
            major.is_some_and(|major| major < limit)
        };
        if before("8.3") {
            // 8.2 had no pg_standby; that of 8.4 works with it.
            Dialect::V8_4
        } else if before("8.4") {
            Dialect::V8_3
        } else if before("11") {
            Dialect::V8_4
        } else {
            Dialect::V13
        }
    }

    /// Whether `-v` is an option.
    pub fn has_verbosity(self) -> bool {
        self == Dialect::TwoWarm
    }

    /// Whether the `promote` file of `pg_ctl promote` is a smart trigger.
    pub fn obeys_promote(self) -> bool {
        matches!(self, Dialect::V8_4 | Dialect::V13)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_gets_the_program_it_came_with() {
        let of = |text: &str| Dialect::of_server(text.parse().ok());
        assert_eq!(of("8.2"), Dialect::V8_4);
        assert_eq!(of("8.3"), Dialect::V8_3);
        for major in ["8.4", "9.0", "9.6", "10"] {
            assert_eq!(of(major), Dialect::V8_4, "{major}");
        }
        for major in ["11", "13", "14", "18", "nonsense"] {
            assert_eq!(of(major), Dialect::V13, "{major}");
        }
    }
}
