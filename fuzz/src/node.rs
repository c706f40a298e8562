use std::path::Path;

use twowarm_core::data_directory::{CopyMarker, PidFile, read_settings, setting_line};
use twowarm_core::identifiers::{MachineId, NodeId, NodeName};
use twowarm_core::node::{Environment, Settings};
use twowarm_core::prune::RestartPoint;
use twowarm_core::standby::{RecoveryConfig, RecoverySource};
use twowarm_core::trigger::Trigger;
use twowarm_core::version::PgMajor;

use crate::text;

/// `postgresql.conf` and `recovery.conf`: each setting, printed, is read back.
pub fn config_file(data: &[u8]) {
    let Ok(settings) = read_settings(text(data)) else { return };
    for (_, name, value) in settings.into_iter().filter(|(.., value)| !value.contains('\n')) {
        let again =
            read_settings(&setting_line(&name, &value)).expect("a printed setting is valid");
        assert_eq!(again, [(1, name, value)]);
    }
}

/// The first byte chooses the version, the rest is 2warm's `recovery.conf`: the settings that are written for
/// the server are valid.
pub fn recovery_conf(data: &[u8]) {
    let [choice, content @ ..] = data else { return };
    let major = PgMajor::ALL[usize::from(*choice) % PgMajor::ALL.len()];
    let source = RecoverySource {
        file: "/pgroot/2warm/global/recovery.conf".into(),
        restore_command: "exec restoreWALFile %f %p %r".into(),
        mode: None,
    };
    let Ok(config) = RecoveryConfig::parse(text(content), &source, major) else { return };
    let written = config.in_auto_conf("", Path::new("/data"));
    if !config.restore_command().contains('\n') && !content.contains(&b'\\') {
        read_settings(&written).expect("what is written for the server is valid");
    }
}

/// `environment.sh`: a variable's value, quoted for the shell, is read back.
pub fn environment(data: &[u8]) {
    let outer = |name: &str| (name == "HOME").then(|| "/home/pg".to_owned());
    let Ok(read) = Environment::parse(text(data), &outer) else { return };
    for (name, value) in read.iter() {
        let quoted = format!("{name}='{}'\n", value.replace('\'', r"'\''"));
        let again = Environment::parse(&quoted, &outer).expect("an assignment is valid");
        assert_eq!(again.get(name), read.get(name), "{quoted}");
    }
}

/// `2warm.toml`: an error names a line of the file.
pub fn settings(data: &[u8]) {
    let text = text(data);
    if let Err(error) = Settings::parse(text) {
        assert!((1..=text.split('\n').count()).contains(&error.line), "{error}");
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
    }
}

/// A trigger file.
pub fn trigger(data: &[u8]) {
    let trigger = Trigger::parse(data);
    if let Trigger::FastFrom(name) = trigger {
        assert_eq!(Trigger::parse(format!("fast {name}\n").as_bytes()), trigger);
    }
    if let Trigger::Unknown(shown) = trigger {
        assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{shown}");
    }
}

/// The marker of an unfinished base copy. Paths with control characters are not written.
pub fn copy_marker(data: &[u8]) {
    let plain = |text: &str| !text.contains(char::is_control);
    let mut marker = CopyMarker::parse(text(data));
    marker.tablespaces.retain(|path| path.to_str().is_some_and(plain));
    if plain(&marker.token) {
        assert_eq!(CopyMarker::parse(&marker.text()), marker);
    }
}

/// `postmaster.pid`.
pub fn postmaster_pid(data: &[u8]) {
    let Some(server) = PidFile::parse(text(data)) else { return };
    assert!(server.pid >= 0);
}

/// The last argument of restore_command.
pub fn restart_point(data: &[u8]) {
    if let RestartPoint::At(name) = RestartPoint::parse(std::str::from_utf8(data).ok()) {
        assert_eq!(name.to_string().as_bytes(), data);
    }
}

/// The names of nodes: `othernode`, `node_id` and `/etc/machine-id`.
pub fn node_name(data: &[u8]) {
    let text = text(data);
    if let Ok(name) = text.parse::<NodeName>() {
        assert_eq!(name.to_string(), text);
        assert!(!text.starts_with('-') && !text.contains(char::is_whitespace));
    }
    if let Ok(id) = text.parse::<NodeId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(id) = text.parse::<MachineId>() {
        assert_eq!(id.as_str(), text);
    }
}
