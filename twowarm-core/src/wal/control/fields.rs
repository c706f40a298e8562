//! The layout of pg_control in each version: byte offsets on 64-bit machines.

use crate::version::{PgMajor, RecordFormat};
use crate::wal::checksum::Checksum;
use crate::wal::{BadControlFile, ControlFile, Lsn};

/// The layout of majors that have the same one and the same `pg_control_version`.
pub(super) struct Layout {
    pub(super) control_version: u32,
    /// These majors, oldest first, and the catalog versions of their releases.
    pub(super) majors: &'static [(PgMajor, u32)],
    pub(super) checkpoint: usize,
    pub(super) redo: usize,
    pub(super) timeline: usize,
    pub(super) min_recovery_point: usize,
    pub(super) backup_start: Option<usize>,
    /// Data block size.
    pub(super) block_size: usize,
    /// WAL block size; the segment size follows 4 bytes later.
    pub(super) wal_sizes: usize,
    pub(super) data_checksums: Option<usize>,
    pub(super) checksum: usize,
}

impl Layout {
    /// The oldest of these majors; the others write WAL and pg_control in the same format.
    pub(super) fn format(&self) -> PgMajor {
        self.majors[0].0
    }

    pub(super) fn major(&self, catalog_version: u32) -> Option<PgMajor> {
        match self.majors {
            [(only, _)] => Some(*only),
            several => several.iter().find(|m| m.1 == catalog_version).map(|m| m.0),
        }
    }

    pub(super) fn checksum_of(&self, fields: Fields) -> u32 {
        let mut checksum = Checksum::new(self.format());
        checksum.update(&fields.0[..self.checksum]);
        checksum.value()
    }

    pub(super) fn is_intact(&self, fields: Fields) -> bool {
        fields.u32(self.checksum) == self.checksum_of(fields)
    }
}

/// The bytes of the file that all offsets below are within.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8; super::ControlFile::BYTES]);

impl Fields<'_> {
    fn take<const N: usize>(self, at: usize) -> [u8; N] {
        *self.0[at..].first_chunk().expect("every offset is well within the 512 bytes")
    }

    pub(super) fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.take(at))
    }

    pub(super) fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.take(at))
    }

    pub(super) fn lsn(self, at: usize, format: PgMajor) -> Lsn {
        match format.record_format() {
            RecordFormat::Halves => Lsn::from_halves(self.u32(at), self.u32(at + 4)),
            RecordFormat::Wide | RecordFormat::Blocks => Lsn(self.u64(at)),
        }
    }
}

/// Whether a version newer than all known ones may have this `pg_control_version`, which is the number of the
/// major that introduced it and two digits.
pub(super) fn is_newer(control_version: u32) -> bool {
    let newest = LAYOUTS.iter().filter(|layout| layout.format() == PgMajor::NEWEST);
    let known = newest.map(|layout| layout.control_version).min();
    known.is_some_and(|known| (known..10_000).contains(&control_version))
}

/// What is wrong with the file of a newer version. The offset of its checksum is not known, so every possible
/// one after the values is tried.
pub(super) fn newer(fields: Fields, control_version: u32) -> BadControlFile {
    let mut checksum = Checksum::new(PgMajor::NEWEST);
    let mut taken = 0;
    for at in (NEWER_VALUES..=ControlFile::BYTES - 4).step_by(4) {
        checksum.update(&fields.0[taken..at]);
        taken = at;
        if fields.u32(at) == checksum.value() {
            return BadControlFile::Newer { control_version, system_identifier: fields.u64(0) };
        }
    }
    BadControlFile::BadNewerChecksum(control_version)
}

/// The least size of the values in the file of a newer version, in bytes.
const NEWER_VALUES: usize = 256;

const fn layout(
    control_version: u32,
    majors: &'static [(PgMajor, u32)],
    [checkpoint, redo, timeline]: [usize; 3],
    (min_recovery_point, backup_start): (usize, Option<usize>),
    (block_size, data_checksums, checksum): (usize, Option<usize>, usize),
) -> Layout {
    Layout {
        control_version,
        majors,
        checkpoint,
        redo,
        timeline,
        min_recovery_point,
        backup_start,
        block_size,
        // 19 added a size between them.
        wal_sizes: if control_version >= 1902 { block_size + 12 } else { block_size + 8 },
        data_checksums,
        checksum,
    }
}

const fn of(first: u32, second: u32) -> PgMajor {
    PgMajor::of(first, second)
}

#[rustfmt::skip]
pub(super) static LAYOUTS: [Layout; 18] = [
    layout(822, &[(of(8, 2), 200611241)], [40, 56, 72], (104, None), (128, None, 416)),
    layout(833, &[(of(8, 3), 200711281)], [32, 48, 56], (88, None), (112, None, 404)),
    layout(843, &[(of(8, 4), 200904091)], [32, 48, 56], (88, None), (112, None, 144)),
    layout(903, &[(of(9, 0), 201008051), (of(9, 1), 201105231)],
        [32, 48, 56], (104, Some(112)), (152, None, 184)),
    layout(922, &[(of(9, 2), 201204301)], [32, 48, 56], (112, Some(120)), (168, None, 200)),
    layout(937, &[(of(9, 3), 201306121)], [32, 48, 56], (128, Some(144)), (192, Some(224), 228)),
    layout(942, &[(of(9, 4), 201409291)], [32, 48, 56], (128, Some(144)), (200, Some(236), 240)),
    layout(942, &[(of(9, 5), 201510051)], [32, 48, 56], (136, Some(152)), (216, Some(252), 256)),
    layout(960, &[(of(9, 6), 201608131)], [32, 48, 56], (136, Some(152)), (216, Some(252), 256)),
    layout(1002, &[(of(10, 0), 201707211)], [32, 48, 56], (136, Some(152)), (216, Some(252), 288)),
    layout(1100, &[(of(11, 0), 201809051)], [32, 40, 48], (128, Some(144)), (208, Some(244), 280)),
    layout(1201, &[(of(12, 0), 201909212)], [32, 40, 48], (136, Some(152)), (216, Some(252), 288)),
    layout(1300, &[(of(13, 0), 202007201), (of(14, 0), 202107181), (of(15, 0), 202209061), (of(16, 0), 202307071)],
        [32, 40, 48], (136, Some(152)), (216, Some(252), 288)),
    layout(1700, &[(of(17, 0), 202406281)], [32, 40, 48], (136, Some(152)), (216, Some(252), 288)),
    layout(1800, &[(of(18, 0), 202506291)], [32, 40, 48], (136, Some(152)), (216, Some(252), 292)),
    // beta1 to beta3, a later build of beta3, and beta4, whose numbers 19.0 has.
    layout(1902, &[(of(19, 0), 0)], [32, 40, 48], (144, Some(160)), (224, Some(264), 304)),
    layout(1903, &[(of(19, 0), 0)], [32, 40, 48], (144, Some(160)), (224, Some(268), 308)),
    layout(1905, &[(of(19, 0), 0)], [32, 40, 48], (144, Some(160)), (224, Some(268), 308)),
];
