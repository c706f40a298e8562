//! Numbers as the C library reads them: the original's leniency is part of its interface.

/// `atoi`: leading white space, a sign, digits, and whatever follows is ignored; no digits are 0. Out
/// of `int`'s range it gives what glibc gives, the low 32 bits of the clamped `long`.
pub fn atoi(text: &[u8]) -> i32 {
    let rest = skip_space(text);
    let (negative, digits) = match rest.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, rest),
    };
    let long = digits.iter().take_while(|b| b.is_ascii_digit()).fold(0i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let value = value.saturating_mul(10);
        if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) }
    });
    long as i32
}

/// `sscanf` with `%08X`: up to eight characters of a hexadecimal number, a sign and `0x` included,
/// after any white space. Returns the number and what follows it.
pub fn scan_hex(text: &[u8]) -> Option<(u32, &[u8])> {
    let start = skip_space(text);
    let width = start.len().min(8);
    let (field, _) = start.split_at(width);
    let signed = usize::from(matches!(field.first(), Some(b'-' | b'+')));
    let rest = &field[signed..];
    let prefixed = if matches!(rest, [b'0', b'x' | b'X', ..]) { 2 } else { 0 };
    let digits = rest[prefixed..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 {
        // "0x" alone is an input failure: glibc has consumed the x and can't give it back.
        return None;
    }
    let from = signed + prefixed;
    let text = std::str::from_utf8(&field[from..from + digits]).ok()?;
    let value = u32::from_str_radix(text, 16).ok()?;
    let value = if field.first() == Some(&b'-') { value.wrapping_neg() } else { value };
    Some((value, &start[from + digits..]))
}

fn skip_space(text: &[u8]) -> &[u8] {
    let space = text.iter().take_while(|b| matches!(b, b' ' | 9..=13)).count();
    &text[space..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoi_reads_what_it_can() {
        for (text, value) in [
            ("5", 5),
            (" \t4", 4),
            ("-1", -1),
            ("+7", 7),
            ("1.9", 1),
            ("3x", 3),
            ("abc", 0),
            ("", 0),
            ("- 1", 0),
            ("--1", 0),
            ("0x10", 0),
            ("2147483648", i32::MIN),
            ("4294967297", 1),
            ("99999999999999999999", -1),
            ("-99999999999999999999", 0),
        ] {
            assert_eq!(atoi(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn scan_hex_takes_eight_characters_at_most() {
        assert_eq!(scan_hex(b"000000010000000C"), Some((1, &b"0000000C"[..])));
        assert_eq!(scan_hex(b"0000000G.history"), Some((0, &b"G.history"[..])));
        assert_eq!(scan_hex(b"c"), Some((12, &b""[..])));
        assert_eq!(scan_hex(b"0xFF"), Some((255, &b""[..])));
        assert_eq!(scan_hex(b""), None);
        assert_eq!(scan_hex(b"G"), None);
    }
}
