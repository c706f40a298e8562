//! Verifies the WAL files of an archive. With a restart point it also lists the segments that are no longer
//! needed, and removes them with --prune: `list_and_prune ARCHIVE [RESTART_POINT [--prune]]`.

use std::error::Error;
use std::io::{Read, Seek};
use std::path::Path;

use twowarm_core::archive::Archive;
use twowarm_core::prune::{Prune, RestartPoint, Retention};
use twowarm_core::wal::{self, Completeness, Expected, PageHeader, TextVerdict, WalFileName};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn verify(archive: &Archive, name: WalFileName, cluster: &mut Expected) -> Result<String> {
    let (WalFileName::Segment(segment) | WalFileName::Partial(segment)) = name else {
        let text = archive.read(name)?.ok_or("it was removed")?;
        return Ok(match wal::check_text(name, &text, cluster.major)? {
            TextVerdict::Sound => "valid".into(),
            TextVerdict::Unneeded(problem) => format!("not needed by any server; {problem}"),
        });
    };
    let mut file = archive.find(name)?.ok_or("it was removed")?;
    let mut page = [0; PageHeader::MAX_BYTES];
    file.read_exact(&mut page)?;
    let header = wal::check_segment_header(&page, segment, file.metadata()?.len(), cluster)?;
    *cluster = header.expected();
    file.rewind()?;
    match wal::completeness(segment, &header, &mut file)? {
        Completeness::Damaged { at, why } => Err(format!("damaged at {at}: {why}").into()),
        Completeness::Unfinished { at, why } => Ok(format!("incomplete: WAL ends at {at}: {why}")),
        Completeness::Whole => Ok("complete".into()),
        Completeness::Unknown(why) => Ok(why.to_string()),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let archive = Archive::open(Path::new(arguments.first().ok_or("no archive is given")?))?;
    let (mut cluster, mut errors, mut names) = (Expected::default(), 0, Vec::new());
    for name in archive.names()? {
        let result = verify(&archive, name, &mut cluster);
        errors += usize::from(result.is_err());
        println!("{name}: {}", result.unwrap_or_else(|problem| format!("ERROR: {problem}")));
        names.push(name.to_string());
    }
    let segments = names.iter().filter_map(|name| name.parse::<wal::SegmentName>().ok());
    let Some(restored) = segments.max_by_key(|segment| segment.place) else { return Ok(()) };
    let restart_point = RestartPoint::parse(arguments.get(1).map(String::as_str));
    let retention = Retention { restored, restart_point, layout: None, keep: 0, floors: &[] };
    let remove = errors == 0 && arguments.get(2).is_some_and(|argument| argument == "--prune");
    let prune = Prune::after_restore(&retention);
    for name in prune.iter().flat_map(|prune| prune.plan(&names)) {
        println!("{name}: no longer needed");
        if remove {
            archive.remove(name.parse()?)?;
        }
    }
    if errors > 0 { Err(format!("{errors} invalid files").into()) } else { Ok(()) }
}
