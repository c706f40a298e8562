//! Which segments are removed from the archive after a restore, by the original's rules.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use twowarm_core::prune::Prune;
use twowarm_core::wal::SegmentSize;

use crate::arguments::Arguments;
use crate::numbers::scan_hex;

/// The oldest segment that is kept: its name without the timeline. `None` if nothing is removed.
pub fn oldest_kept(arguments: &Arguments, size: SegmentSize) -> Option<OsString> {
    let next = arguments.next.as_bytes();
    if let Some(restart) = &arguments.restart {
        // A restart point after the requested file is a mistake; nothing is removed then.
        let after = restart.as_bytes() > next;
        let place = restart.as_bytes().get(8..).unwrap_or_default();
        return (!after).then(|| OsString::from(std::ffi::OsStr::from_bytes(place)));
    }
    let keep = arguments.keep.unsigned_abs();
    if keep == 0 {
        return None;
    }
    let (timeline, rest) = scan_hex(next)?;
    let (log_id, rest) = scan_hex(rest)?;
    let (segment, _) = scan_hex(rest)?;
    // The original removes nothing at the first segment of a log id, or if the timeline is 0.
    if timeline == 0 || segment == 0 {
        return None;
    }
    let per_log_id = segments_per_log_id(size);
    let (mut log_ids, segments) = (keep / per_log_id, keep % per_log_id);
    let segment = if segments > segment {
        log_ids += 1;
        per_log_id.wrapping_sub(segments - segment)
    } else {
        segment - segments
    };
    let log_id = log_id.checked_sub(log_ids)?;
    Some(format!("{log_id:08X}{segment:08X}").into())
}

/// One less than in servers from 9.3 on: the original counts so, and the same segments must be kept.
fn segments_per_log_id(size: SegmentSize) -> u32 {
    u32::MAX / u32::try_from(size.bytes()).expect("a segment size is at most 1 GB")
}

/// Removes the segments that sort before `oldest` and returns their number. The caller does not fail on
/// an error, since the next call tries again.
pub fn clean(
    archive: &Path,
    arguments: &Arguments,
    oldest: &str,
    removing: &mut dyn FnMut(&Path),
) -> Result<u64, String> {
    let fields = |name: &[u8]| {
        let (timeline, rest) = scan_hex(name)?;
        let (log_id, rest) = scan_hex(rest)?;
        let (segment, _) = scan_hex(rest)?;
        Some((timeline, u64::from(log_id) * 256 + u64::from(segment)))
    };
    let (timeline, turn) = fields(arguments.next.as_bytes()).unwrap_or((1, 1));
    let mut prune = Prune::before(oldest, timeline, turn);
    if let Some((other, _)) = arguments.restart.as_ref().and_then(|r| fields(r.as_bytes())) {
        prune = prune.and_timeline(other);
    }
    prune.run(archive, removing).map_err(|e| e.to_string())
}
