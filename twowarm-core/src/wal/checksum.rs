use crate::version::{PgMajor, RecordFormat};

/// The checksum of WAL records and pg_control, computed incrementally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// Before 9.5: PostgreSQL's own variant of CRC-32, which uses the table of the reflected algorithm but
    /// shifts to the left.
    Legacy(u32),
    /// From 9.5 on: CRC-32C.
    Castagnoli(u32),
}

impl Checksum {
    const LEGACY: Checksum = Checksum::Legacy(!0);
    const CASTAGNOLI: Checksum = Checksum::Castagnoli(0);

    /// The checksum that this version uses, of no bytes.
    pub(super) fn new(major: PgMajor) -> Checksum {
        match major.record_format() {
            RecordFormat::Halves | RecordFormat::Wide => Checksum::LEGACY,
            RecordFormat::Blocks => Checksum::CASTAGNOLI,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Legacy(crc) => *crc = legacy(*crc, bytes),
            Checksum::Castagnoli(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
        }
    }

    pub(super) fn value(self) -> u32 {
        match self {
            Checksum::Legacy(crc) => !crc,
            Checksum::Castagnoli(crc) => crc,
        }
    }
}

/// Eight bytes at a time: because a CRC is linear, the table can hold each byte's effect after the bytes that
/// follow it.
fn legacy(mut crc: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in chunks {
        let [i, j, k, l] = (crc ^ u32::from_be_bytes([a, b, c, d])).to_be_bytes();
        crc = SHIFTED[7][i as usize]
            ^ SHIFTED[6][j as usize]
            ^ SHIFTED[5][k as usize]
            ^ SHIFTED[4][l as usize]
            ^ SHIFTED[3][e as usize]
            ^ SHIFTED[2][f as usize]
            ^ SHIFTED[1][g as usize]
            ^ SHIFTED[0][h as usize];
    }
    for &byte in rest {
        crc = SHIFTED[0][((crc >> 24) as u8 ^ byte) as usize] ^ (crc << 8);
    }
    crc
}

/// `SHIFTED[n][byte]`: the effect of a byte on the CRC after n more bytes.
static SHIFTED: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut entry = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            entry = if entry & 1 == 1 { entry >> 1 ^ 0xEDB8_8320 } else { entry >> 1 };
            bit += 1;
        }
        tables[0][byte] = entry;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = tables[0][(before >> 24) as usize] ^ before << 8;
            byte += 1;
        }
        n += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(mut checksum: Checksum, bytes: &[u8]) -> u32 {
        checksum.update(bytes);
        checksum.value()
    }

    #[test]
    fn known_values() {
        assert_eq!(SHIFTED[0][1], 0x7707_3096);
        assert_eq!(of(Checksum::LEGACY, b""), 0);
        assert_eq!(of(Checksum::LEGACY, b"a"), 0x17B7_BEBC);
        assert_eq!(of(Checksum::LEGACY, b"123456789"), 0xC40E_D0B0);
        assert_eq!(of(Checksum::LEGACY, &[0; 4]), 0xAC0D_09D2);
        assert_eq!(
            of(Checksum::LEGACY, &std::array::from_fn::<u8, 32, _>(|i| i as u8)),
            0x77BB_31B8
        );
        assert_eq!(of(Checksum::CASTAGNOLI, b"123456789"), 0xE306_9283);
    }

    proptest! {
        #[test]
        fn the_checksum_of_pieces_is_that_of_the_whole(bytes: Vec<u8>, cut: proptest::sample::Index) {
            let (front, back) = bytes.split_at(cut.index(bytes.len() + 1));
            for start in [Checksum::LEGACY, Checksum::CASTAGNOLI] {
                let mut pieces = start;
                pieces.update(front);
                pieces.update(back);
                prop_assert_eq!(pieces.value(), of(start, &bytes));
            }
        }
    }
}
