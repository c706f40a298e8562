use std::path::Path;

use crate::data_directory::{each_setting, setting_line};
use crate::version::PgMajor;

/// Each of them ends recovery at some point, where by default the standby pauses or promotes itself. A
/// server accepts only one.
const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_name",
    "recovery_target_lsn",
];

/// The other settings that a standby must not inherit, with PostgreSQL's defaults. The source may have set
/// them when it was a standby itself.
const OTHERS: [(&str, &str); 5] = [
    ("recovery_target_timeline", "latest"),
    ("recovery_target_action", "pause"),
    ("recovery_end_command", ""),
    ("archive_cleanup_command", ""),
    ("promote_trigger_file", ""),
];

/// How the source streamed when it was a standby, possibly from this very node. They are removed from
/// postgresql.auto.conf and not reset, because in other files they may be this standby's own.
const STREAMING: [&str; 2] = ["primary_conninfo", "primary_slot_name"];

/// Whether a line with this setting in postgresql.auto.conf is not kept.
pub(super) fn is_reset(name: &str) -> bool {
    TARGETS.contains(&name)
        || OTHERS.iter().any(|(other, _)| *other == name)
        || STREAMING.contains(&name)
}

/// The lines that reset inherited recovery settings to their defaults, except for those in `set`. From 12 on
/// these settings are in the configuration files, which a copy brings from the source; these lines are read
/// after them.
///
/// A server refuses to start if one target is set, even to an empty value, while another one is in force. So
/// the target that `configuration` (postgresql.conf) sets is reset first.
pub(super) fn reset(set: &[(String, String)], major: PgMajor, configuration: &Path) -> String {
    let is_set = |wanted: &str| set.iter().any(|(name, _)| name == wanted);
    let inherited = inherited_target(configuration);
    let first = TARGETS.into_iter().find(|name| inherited.as_deref() == Some(name));
    let rest = TARGETS.into_iter().filter(|name| Some(*name) != first && !is_set(name));
    let targets = first.into_iter().chain(rest).map(|name| (name, ""));
    let others = OTHERS.into_iter().filter(|(name, _)| !is_set(name));
    let known = targets.chain(others).filter(|(name, _)| major.has_recovery_setting(name));
    known.map(|(name, value)| setting_line(name, value)).collect()
}

/// The target that is in force after a configuration file was read.
fn inherited_target(file: &Path) -> Option<String> {
    let mut target = None;
    each_setting(file, &mut |name, value| match name {
        name if TARGETS.contains(&name) && !value.is_empty() => target = Some(name.to_owned()),
        name if target.as_deref() == Some(name) => target = None,
        _ => {}
    });
    target
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_target_in_force_is_reset_first_in_any_file() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        let conf = dir.path().join("postgresql.conf");
        let lines = |set: &[(&str, &str)]| -> Vec<String> {
            let set: Vec<_> = set.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            let text = reset(&set, PgMajor::of(15, 0), &conf);
            text.lines().map(str::to_owned).collect()
        };
        assert_eq!(lines(&[])[0], "recovery_target = ''");
        assert_eq!(lines(&[]).len(), 10);

        write("postgresql.conf", "recovery_target = 'immediate'\ninclude_dir 'conf.d'\n");
        write("conf.d/a.conf", "it's not a setting\nrecovery_target = ''\n");
        write("conf.d/b.conf", "include = '../more'\n");
        write("more", "Recovery_Target_LSN = '0/1'\n");
        assert_eq!(lines(&[])[0], "recovery_target_lsn = ''");
        let own = lines(&[("recovery_target_xid", "7"), ("recovery_end_command", "x")]);
        assert_eq!(own[0], "recovery_target_lsn = ''");
        assert!(!own.iter().any(|line| line.contains("_xid") || line.contains("_end")), "{own:?}");
        // It is reset first, so that the others can be, and then set.
        assert_eq!(lines(&[("recovery_target_lsn", "0/2")])[0], "recovery_target_lsn = ''");
    }
}
