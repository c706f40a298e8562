use std::collections::BTreeMap;
use std::path::Path;

use crate::data_directory::{is_true, server_configuration, server_settings};
use crate::version::PgMajor;

const COMMAND: &str = "'../2warm/global/replication/archiveWALFile %p %f'";

/// The settings that a standby's server would lack after a failover, as the primary: one line for the user per
/// setting, with what to write into which file. They are read from the files that the server will read, as far
/// as those are known.
pub(crate) fn lacks_for_failover(pgdata: &Path, major: PgMajor) -> Vec<String> {
    match server_configuration(pgdata) {
        Some(file) => {
            let mut settings = BTreeMap::new();
            server_settings(&file, pgdata, &mut |name, value| {
                settings.insert(name.to_owned(), value.to_owned());
            });
            let file = file.display();
            let lacks = lacks(&settings, major).into_iter();
            lacks.map(|lack| format!("{lack} in \"{file}\"")).collect()
        }
        None => {
            let wanted: Vec<String> =
                wanted(major).iter().map(|(n, v)| format!("{n} = {v}")).collect();
            vec![format!(
                "\"{}\" has no postgresql.conf, and it is not known with which one (config_file) the server will be started. HINT: make sure that it contains {}",
                pgdata.display(),
                wanted.join(", ")
            )]
        }
    }
}

/// The settings that a primary of this version needs to ship its WAL.
fn wanted(major: PgMajor) -> Vec<(&'static str, &'static str)> {
    let mode = major.has_archive_mode().then_some(("archive_mode", "on"));
    let level = major.replica_wal_level().map(|level| ("wal_level", level));
    mode.into_iter().chain(level).chain([("archive_command", COMMAND)]).collect()
}

fn lacks(settings: &BTreeMap<String, String>, major: PgMajor) -> Vec<String> {
    let set = |name: &str| settings.get(name).map(|value| value.trim());
    let shown = |name: &str| set(name).map_or("not set".to_owned(), |value| format!("\"{value}\""));
    let mut lacks = Vec::new();
    for (name, value) in wanted(major) {
        let is_fine = match name {
            "archive_mode" => {
                set(name).is_some_and(|v| is_true(v) || v.eq_ignore_ascii_case("always"))
            }
            "wal_level" => set(name)
                .map_or(major.has_standby_defaults(), |v| !v.eq_ignore_ascii_case("minimal")),
            _ => set(name).is_some_and(|v| v.contains("archiveWALFile")),
        };
        if !is_fine {
            let shown = shown(name);
            lacks.push(format!(
                "{name} is {shown}, so no WAL would be shipped after a failover. HINT: write {name} = {value}"
            ));
        }
    }
    if major.has_archive_library() && set("archive_library").is_some_and(|value| !value.is_empty())
    {
        let shown = shown("archive_library");
        lacks.push(format!(
            "archive_library is {shown}, so archive_command would be ignored after a failover. HINT: write archive_library = ''"
        ));
    }
    let answers = major.has_standby_defaults() || major.replica_wal_level().is_none();
    if !answers && set("hot_standby").is_none() {
        lacks.push(
            "hot_standby is not set, so the standby does not accept queries. HINT: write hot_standby = on (or off)"
                .into(),
        );
    }
    lacks
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(major: &str, lines: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("postgresql.conf"), lines).unwrap();
        let file = format!(" in \"{}/postgresql.conf\"", dir.path().display());
        let lacks = lacks_for_failover(dir.path(), major.parse().unwrap()).into_iter();
        lacks.map(|lack| lack.strip_suffix(&file).expect("it names the file").to_owned()).collect()
    }

    fn names(major: &str, lines: &str) -> Vec<String> {
        of(major, lines).iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect()
    }

    const COMMAND_LINE: &str =
        "archive_command = '../2warm/global/replication/archiveWALFile %p %f'\n";

    #[test]
    fn each_version_lacks_the_settings_that_it_has() {
        assert_eq!(names("8.2", ""), ["archive_command"]);
        assert_eq!(names("8.4", ""), ["archive_mode", "archive_command"]);
        assert_eq!(
            names("9.1", ""),
            ["archive_mode", "wal_level", "archive_command", "hot_standby"]
        );
        assert_eq!(names("15", ""), ["archive_mode", "archive_command"]);
        let first = &of("15", "archive_mode = off\n")[0];
        assert!(first.contains("\"off\"") && first.ends_with("archive_mode = on"), "{first}");
    }

    #[test]
    fn settings_in_any_spelling_are_accepted() {
        for mode in ["on", "Always", "1"] {
            assert_eq!(names("15", &format!("archive_mode = {mode}\n{COMMAND_LINE}")), [""; 0]);
        }
        assert_eq!(names("8.2", COMMAND_LINE), [""; 0]);
        let old =
            format!("archive_mode = on\nwal_level = archive\nhot_standby = off\n{COMMAND_LINE}");
        assert_eq!(names("9.1", &old), [""; 0]);
        let bad =
            format!("archive_mode = on\nwal_level = minimal\narchive_library = x\n{COMMAND_LINE}");
        assert_eq!(names("15", &bad), ["wal_level", "archive_library"]);
        let bad = "archive_mode = on\narchive_command = 'cp %p /a/%f'\n";
        assert_eq!(names("15", bad), ["archive_command"]);
    }

    #[test]
    fn without_a_configuration_all_settings_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let lacks = lacks_for_failover(dir.path(), "15".parse().unwrap());
        assert!(lacks.len() == 1 && lacks[0].contains("config_file"), "{lacks:?}");
        assert!(lacks[0].contains("archive_mode = on, wal_level = replica, archive_command"));
    }
}
