//! Numbers as the C library parses them: the original's leniency is part of its interface.

/// `atoi`: optional white space, an optional sign, and digits; the rest is ignored. Without digits it is
/// 0. Out of the range of `int` it is glibc's result: the low 32 bits of the clamped `long`.
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

/// `sscanf` with `%08X`: optional white space, then at most eight characters of a hexadecimal number,
/// including a sign and `0x`. Returns the number and the rest of the text.
pub fn scan_hex(text: &[u8]) -> Option<(u32, &[u8])> {
    let start = skip_space(text);
    let width = start.len().min(8);
    let (field, _) = start.split_at(width);
    let signed = usize::from(matches!(field.first(), Some(b'-' | b'+')));
    let rest = &field[signed..];
    let prefixed = if matches!(rest, [b'0', b'x' | b'X', ..]) { 2 } else { 0 };
    let digits = rest[prefixed..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 {
        // "0x" alone fails: glibc has consumed the x and can't push it back.
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
    fn atoi_is_as_lenient_as_the_c_library() {
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
    fn scan_hex_reads_at_most_eight_characters() {
        assert_eq!(scan_hex(b"000000010000000C"), Some((1, &b"0000000C"[..])));
        assert_eq!(scan_hex(b"0000000G.history"), Some((0, &b"G.history"[..])));
        assert_eq!(scan_hex(b"c"), Some((12, &b""[..])));
        assert_eq!(scan_hex(b"0xFF"), Some((255, &b""[..])));
        assert_eq!(scan_hex(b""), None);
        assert_eq!(scan_hex(b"G"), None);
    }
}
