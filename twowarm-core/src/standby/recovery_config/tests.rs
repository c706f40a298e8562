use std::fs;

use super::*;

fn parse_as(
    mode: Option<RecoveryMode>,
    text: &str,
    major: &str,
) -> Result<RecoveryConfig, RecoveryConfigError> {
    RecoveryConfig::parse(text, &source(mode), major.parse().unwrap())
}

const COMMAND: &str = "exec restore %f %p %r";

fn source(mode: Option<RecoveryMode>) -> RecoverySource {
    RecoverySource { file: "recovery.conf".into(), mode, restore_command: COMMAND.into() }
}

fn parse(text: &str, major: &str) -> Result<RecoveryConfig, RecoveryConfigError> {
    parse_as(None, text, major)
}

fn in_auto_conf(text: &str, major: &str, before: &str) -> String {
    parse(text, major).unwrap().in_auto_conf(before, Path::new("/nowhere/postgresql.conf"))
}

const WARM: Option<RecoveryMode> = Some(RecoveryMode::Warm);
const STANDBY: Option<RecoveryMode> = Some(RecoveryMode::Standby);
const ORIGINAL: &str =
    "# ours\nrestore_command = '../x %f %p %r'\nrecovery_end_command = 'rm trigger'\n";

#[test]
fn without_a_file_the_settings_are_the_defaults() {
    let config = parse("", "15").unwrap();
    assert_eq!(config.restore_command(), COMMAND);
    let other = parse("recovery_end_command = 'x'", "9.0").unwrap();
    assert_eq!(other.restore_command(), COMMAND);
    assert!(other.text.contains("'x'\nrestore_command"), "{}", other.text);
}

#[test]
fn a_setting_that_the_version_does_not_have_is_refused_by_name() {
    let error = parse("a = 'b'", "15").unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("parameter \"a\""), "{error}");
    let error = parse("\nstandby_mode = 'off'", "15").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("standby_mode"), "{error}");
    assert!(parse("standby_mode = 'off'", "9.6").is_ok());
    assert!(parse(ORIGINAL, "8.3").is_err(), "recovery_end_command came with 8.4");
}

#[test]
fn standby_mode_is_the_default_if_the_version_can_promote_from_it() {
    let mode = |mode, text: &str, major| parse_as(mode, text, major).map(|config| config.mode());
    for (major, expected) in [
        ("8.2", RecoveryMode::Warm),
        ("9.0", RecoveryMode::Warm),
        ("9.1", RecoveryMode::Standby),
        ("18", RecoveryMode::Standby),
    ] {
        assert_eq!(mode(None, "", major).unwrap(), expected, "{major}");
        assert_eq!(mode(WARM, "", major).unwrap(), RecoveryMode::Warm, "{major}");
    }
    for major in ["8.2", "9.0"] {
        let error = mode(STANDBY, "", major).unwrap_err().to_string();
        assert!(error.contains(major) && error.contains("set mode = \"warm\""), "{error}");
    }
    let pg_standby = "restore_command = 'exec pg_standby /a %f %p'";
    assert_eq!(mode(None, pg_standby, "15").unwrap(), RecoveryMode::Warm);
    assert_eq!(mode(STANDBY, pg_standby, "15").unwrap(), RecoveryMode::Standby);
    // The file has priority over the default, and must not contradict the mode setting.
    for (major, own) in [("9.0", "TRUE"), ("11", "on")] {
        let text = format!("standby_mode = '{own}'");
        assert_eq!(mode(None, &text, major).unwrap(), RecoveryMode::Standby);
        let error = mode(WARM, &text, major).unwrap_err().to_string();
        for part in ["line 1", own, "mode = \"warm\""] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    assert_eq!(mode(None, "standby_mode = off", "11").unwrap(), RecoveryMode::Warm);
    assert!(mode(STANDBY, "standby_mode = off", "11").is_err());
    assert!(mode(STANDBY, "standby_mode = on", "11").is_ok());
}

/// The files of a prepared directory, and the names of the settings in each that are not reset to a
/// default.
fn prepared(mode: Option<RecoveryMode>, text: &str, major: PgMajor) -> String {
    let dir = tempfile::tempdir().unwrap();
    RecoveryConfig::parse(text, &source(mode), major).unwrap().apply(dir.path()).unwrap();
    let describe = |name: &str| {
        let text = fs::read_to_string(dir.path().join(name)).ok()?;
        let settings = read_settings(&text).unwrap().into_iter();
        let set = settings.filter(|(_, _, value)| !value.is_empty() && value != "pause");
        let set = set.map(|(_, name, value)| match name.as_str() {
            "restore_command" => format!(" {name}"),
            _ => format!(" {name}={value}"),
        });
        Some(format!("{name}{}", set.collect::<String>()))
    };
    let names = ["recovery.conf", "recovery.signal", "standby.signal", "postgresql.auto.conf"];
    names.into_iter().filter_map(describe).collect::<Vec<_>>().join("; ")
}

fn changes(mode: Option<RecoveryMode>, text: &str, since: &str, expected: &[(&str, &str)]) {
    let mut found: Vec<(String, String)> = Vec::new();
    let since: PgMajor = since.parse().unwrap();
    for major in PgMajor::ALL.into_iter().filter(|major| *major >= since) {
        let answer = prepared(mode, text, major);
        if found.last().is_none_or(|(_, last)| *last != answer) {
            found.push((major.to_string(), answer));
        }
    }
    let found: Vec<_> = found.iter().map(|(m, a)| (m.as_str(), a.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn each_version_gets_the_settings_it_needs() {
    let warm_12 = "recovery.signal; postgresql.auto.conf recovery_target_timeline=latest \
                   restore_command";
    let warm_15 = format!("{warm_12} recovery_prefetch=off");
    let warm_8 = "recovery.conf restore_command recovery_target_timeline=latest";
    let warm = [("8.2", warm_8), ("12", warm_12), ("15", &warm_15)];
    changes(WARM, "", "8.2", &warm);

    let conf = "recovery.conf restore_command standby_mode=on recovery_target_timeline=latest";
    let conf_9_5 = format!("{conf}; postgresql.auto.conf wal_retrieve_retry_interval=200ms");
    let signal = "standby.signal; postgresql.auto.conf restore_command \
                  recovery_target_timeline=latest wal_retrieve_retry_interval=200ms";
    let signal_15 = format!("{signal} recovery_prefetch=off");
    let standby = [("9.1", conf), ("9.5", &conf_9_5), ("12", signal), ("15", signal_15.as_str())];
    changes(STANDBY, "", "9.1", &standby);
    let all = [&warm[..1], &standby[..]].concat();
    changes(None, "", "8.2", &all);
}

#[test]
fn a_streaming_standby_keeps_its_retry_interval() {
    let streams = "primary_conninfo = 'host=a'\n";
    let conf = "recovery.conf primary_conninfo=host=a restore_command standby_mode=on \
                recovery_target_timeline=latest";
    let signal = "standby.signal; postgresql.auto.conf primary_conninfo=host=a restore_command \
                  recovery_target_timeline=latest";
    changes(None, streams, "9.1", &[("9.1", conf), ("12", signal)]);
    // In warm mode a server does not stream.
    let warm = prepared(WARM, streams, "15".parse().unwrap());
    assert!(warm.ends_with("recovery_prefetch=off"), "{warm}");
    // 9.0 does not follow another timeline, so it gets no such setting.
    let oldest = prepared(None, "standby_mode = on", "9.0".parse().unwrap());
    assert_eq!(oldest, "recovery.conf standby_mode=on restore_command");
}

#[test]
fn settings_of_the_user_are_kept() {
    let own = "recovery_prefetch = 'try'\nwal_retrieve_retry_interval = '1s'\n\
               recovery_target_timeline = '3'\n";
    let lines = in_auto_conf(own, "15", "");
    for part in ["'off'", "200ms", "latest"] {
        assert!(!lines.contains(part), "{part} in {lines}");
    }
    assert!(parse(own, "11").is_err(), "the retry interval does not belong into a recovery.conf");
    let conf = parse("recovery_target_timeline = '3'\n", "11").unwrap();
    assert!(!conf.text.contains("latest"), "{}", conf.text);
    // By ALTER SYSTEM, or in postgresql.conf.
    let altered = "wal_retrieve_retry_interval = '1s'\n";
    for major in ["9.6", "15"] {
        assert!(!in_auto_conf("", major, altered).contains("200ms"));
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("postgresql.conf");
        let after = parse("", major).unwrap().in_auto_conf("", &conf);
        assert!(after.contains("200ms"), "{after}");
        fs::write(&conf, altered).unwrap();
        let after = parse("", major).unwrap().in_auto_conf(&after, &conf);
        assert!(!after.contains("wal_retrieve"), "{after}");
    }
}

#[test]
fn streaming_settings_of_the_source_are_removed_and_own_ones_kept() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("postgresql.conf");
    let before = "primary_conninfo = 'host=me'\nprimary_slot_name = 'x'\n";
    let after = parse("", "15").unwrap().in_auto_conf(before, &conf);
    assert!(!after.contains("primary_"), "{after}");
    assert!(after.contains("200ms") && after.contains("recovery_prefetch"), "{after}");
    fs::write(&conf, "primary_conninfo = 'host=b'\n").unwrap();
    let streams = parse("", "15").unwrap().in_auto_conf(&after, &conf);
    assert!(!streams.contains("recovery_prefetch") && !streams.contains("200ms"), "{streams}");
}

#[test]
fn earlier_lines_of_the_same_settings_are_replaced() {
    let before =
        "# by ALTER SYSTEM\nwork_mem = '4MB'\nRestore_Command = 'old'\nnonsense here it's\n";
    let after = in_auto_conf(ORIGINAL, "15", before);
    assert!(after.starts_with("# by ALTER SYSTEM\nwork_mem = '4MB'\nnonsense here it's\n"));
    let expected = "restore_command = '../x %f %p %r'\nrecovery_end_command = 'rm trigger'\n\
                    recovery_target_timeline = 'latest'\nwal_retrieve_retry_interval = '200ms'\n\
                    recovery_prefetch = 'off'\n";
    assert!(after.ends_with(expected), "{after}");
    assert_eq!(after.matches("restore_command").count(), 1);
    assert_eq!(in_auto_conf(ORIGINAL, "15", &after), after);
}

#[test]
fn no_recovery_target_is_inherited() {
    let before = "recovery_target_time = 'yesterday'\nrecovery_target_action = 'promote'\n\
                  promote_trigger_file = '/tmp/x'\nrecovery_target_timeline = 'current'\n";
    for mode in [STANDBY, WARM] {
        let nowhere = Path::new("/nowhere/postgresql.conf");
        let with = |text: &str, major: &str| {
            parse_as(mode, text, major).unwrap().in_auto_conf(before, nowhere)
        };
        let after = with("", "15");
        for gone in ["yesterday", "'promote'", "/tmp/x", "'current'"] {
            assert!(!after.contains(gone), "{gone} in {after}");
        }
        for line in ["recovery_target_time = ''\n", "recovery_target_timeline = 'latest'\n"] {
            assert!(after.contains(line), "{line} in {after}");
        }
        let own = with("recovery_target_xid = 7\n", "15");
        assert_eq!(own.matches("recovery_target_xid").count(), 1);
        assert!(!with("", "16").contains("promote_trigger_file"));
    }
}

#[test]
fn the_mode_of_a_directory_can_be_changed_and_changed_back() {
    let dir = tempfile::tempdir().unwrap();
    let has = |name: &str| dir.path().join(name).exists();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let apply = |mode, text: &str, major: &str| {
        parse_as(mode, text, major).unwrap().apply(dir.path()).unwrap();
    };
    let followed = format!("{ORIGINAL}recovery_target_timeline = 'latest'\n");
    apply(WARM, ORIGINAL, "11");
    assert_eq!(read("recovery.conf"), followed);
    assert!(!has("postgresql.auto.conf"));
    apply(STANDBY, ORIGINAL, "11");
    assert!(read("recovery.conf").contains("standby_mode = 'on'"));
    assert_eq!(read("postgresql.auto.conf"), "wal_retrieve_retry_interval = '200ms'\n");
    apply(WARM, ORIGINAL, "11");
    assert_eq!(read("recovery.conf"), followed);
    assert_eq!(read("postgresql.auto.conf"), "");

    let mut first = None;
    for _ in 0..2 {
        apply(STANDBY, ORIGINAL, "15");
        assert!(has("standby.signal") && !has("recovery.signal") && !has("recovery.conf"));
        assert_eq!(
            *first.get_or_insert(read("postgresql.auto.conf")),
            read("postgresql.auto.conf")
        );
        apply(WARM, ORIGINAL, "15");
        assert!(has("recovery.signal") && !has("standby.signal"));
        let auto = read("postgresql.auto.conf");
        assert_eq!(auto.matches("restore_command").count(), 1);
        assert!(!auto.contains("wal_retrieve_retry_interval"), "{auto}");
    }
}

#[test]
fn a_restore_command_without_exec_gets_a_warning() {
    let warning =
        |command: &str| parse(&setting_line("restore_command", command), "15").unwrap().warning();
    assert_eq!(parse("", "15").unwrap().warning(), None);
    assert_eq!(warning(" exec  pg_standby /a %f %p"), None);
    for (command, better) in [
        ("pg_standby '/a b' %f %p", "write restore_command = 'exec pg_standby ''/a b'' %f %p'"),
        ("x %f %p >>log 2>&1", "write restore_command = 'exec x %f %p >>log 2>&1'"),
        ("test -f /a/%f && cp /a/%f %p", "script"),
        ("LANG=C cp /a/%f %p", "script"),
        ("execute %f %p", "'exec execute %f %p'"),
    ] {
        let text = warning(command).unwrap();
        assert!(text.starts_with("WARNING: ") && text.contains("cannot fork"), "{text}");
        assert!(text.contains(better) && text.lines().count() == 1, "{better}: {text}");
    }
}
