use std::path::Path;

use crate::data_directory::{each_setting, setting_line};
use crate::version::PgMajor;

/// Each of them ends recovery somewhere, and then by default the standby promotes itself or pauses. A
/// server takes only one.
const TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_name",
    "recovery_target_lsn",
];

/// What else the source's configuration could do to a standby, and what is said instead: PostgreSQL's
/// defaults. The commands are those of the days when the source was a standby itself.
const OTHERS: [(&str, &str); 5] = [
    ("recovery_target_timeline", "latest"),
    ("recovery_target_action", "pause"),
    ("recovery_end_command", ""),
    ("archive_cleanup_command", ""),
    ("promote_trigger_file", ""),
];

/// What the source streamed from in its days as a standby, and that is perhaps the standby itself. Only
/// its postgresql.auto.conf is the source's for sure, so there they go, and are not put back.
const STREAMING: [&str; 2] = ["primary_conninfo", "primary_slot_name"];

/// Whether the setting is one of those that a standby must not inherit by postgresql.auto.conf.
pub(super) fn is_ours(name: &str) -> bool {
    TARGETS.contains(&name)
        || OTHERS.iter().any(|(other, _)| *other == name)
        || STREAMING.contains(&name)
}

/// From 12 on recovery's settings are settings like all others, and a copy brings the source's. These
/// lines, read last, put them back to their defaults, but for those that are `set` on purpose.
///
/// A server refuses to start when one target is set, to nothing even, while another is in force: so
/// the target that `configuration` (the data directory's postgresql.conf) sets is put back first.
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

/// The target that a configuration file leaves in force.
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
    fn the_target_in_force_is_put_back_first_wherever_it_was_set() {
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
        write("conf.d/a.conf", "it's no setting\nrecovery_target = ''\n");
        write("conf.d/b.conf", "include = '../more'\n");
        write("more", "Recovery_Target_LSN = '0/1'\n");
        assert_eq!(lines(&[])[0], "recovery_target_lsn = ''");
        let own = lines(&[("recovery_target_xid", "7"), ("recovery_end_command", "x")]);
        assert_eq!(own[0], "recovery_target_lsn = ''");
        assert!(!own.iter().any(|line| line.contains("_xid") || line.contains("_end")), "{own:?}");
        // It is put back, so that the others may be, and then set.
        assert_eq!(lines(&[("recovery_target_lsn", "0/2")])[0], "recovery_target_lsn = ''");
    }
}
