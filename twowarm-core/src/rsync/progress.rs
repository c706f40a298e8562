/// The progress of a transfer, from rsync's `--info=progress2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files processed so far, whether they were sent or already present.
    pub bytes: u64,
    /// Files still to be checked, among those found so far.
    pub files_left: Option<u64>,
}

impl Progress {
    /// Parses a line such as `  32768  12%  31.25MB/s  0:00:00 (xfr#1, to-chk=9/12)`.
    pub(super) fn parse(line: &str) -> Option<Progress> {
        let mut words = line.split_whitespace();
        let bytes = words.next()?.replace([',', '.'], "").parse().ok()?;
        words.next()?.strip_suffix('%')?.parse::<u8>().ok()?;
        let left = |mark: &str| {
            let (_, rest) = line.split_once(mark)?;
            rest.split('/').next()?.parse().ok()
        };
        Some(Progress { bytes, files_left: left("to-chk=").or_else(|| left("ir-chk=")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_other_lines() {
        let line = "        1,238,099 100%  146.38kB/s    0:00:08  (xfr#5, to-chk=169/396)";
        assert_eq!(
            Progress::parse(line),
            Some(Progress { bytes: 1_238_099, files_left: Some(169) })
        );
        let line = "  32768   3%    0.00kB/s    0:00:00";
        assert_eq!(Progress::parse(line), Some(Progress { bytes: 32768, files_left: None }));
        assert_eq!(Progress::parse("base/1/1259"), None);
        assert_eq!(Progress::parse("100 things"), None);
    }
}
