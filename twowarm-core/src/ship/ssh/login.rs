use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh2::{ErrorCode, Session};

use super::host_key::base64;
use super::target::{AgentUse, Target, timed_out};
use super::{SshError, agent, key_file};

/// Enough for an agent on this machine; sshd's login grace time runs meanwhile.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

/// libssh2's error for a key file that it can't parse (LIBSSH2_ERROR_FILE).
const FILE_ERROR: i32 = -16;

/// libssh2's errors for a connection that broke or whose data was damaged: LIBSSH2_ERROR_INVALID_MAC, SOCKET_SEND,
/// DECRYPT, SOCKET_DISCONNECT and SOCKET_RECV.
const SOCKET_ERRORS: [i32; 5] = [-4, -7, -12, -13, -43];

/// Logs in with a key, without prompts. No other method is tried.
pub(super) fn log_in(session: &Session, target: &Target) -> Result<(), SshError> {
    let mut tried = Vec::new();
    if let AgentUse::Yes { socket, listed_keys_only } = &target.agent {
        let listed = listed_keys_only.then(|| public_keys(target));
        by_agent(session, target, socket.as_deref(), listed.as_deref(), &mut tried);
    }
    let mut unusable = Vec::new();
    for key in target.keys.iter().filter(|key| key.exists() || target.keys.len() == 1) {
        if session.authenticated() {
            break;
        }
        if let Some(problem) = key_file::problem(key) {
            unusable.push(format!("the private key \"{}\" {problem}", key.display()));
            continue;
        }
        match session.userauth_pubkey_file(&target.user, None, key, None) {
            Ok(()) => break,
            Err(e) if timed_out(&e) => {
                return Err(target.failed("logging in", e));
            }
            Err(e) if e.code() == ErrorCode::Session(FILE_ERROR) => {
                let said = e.message();
                unusable
                    .push(format!("\"{}\" is not a usable private key ({said})", key.display()));
            }
            // After other keys, sshd may have ended the connection because of too many attempts.
            Err(e) if tried.is_empty() && is_lost(&e) => {
                return Err(target.failed("logging in", e));
            }
            Err(e) => tried.push(format!("{}: {}", key.display(), e.message())),
        }
    }
    if session.authenticated() {
        return Ok(());
    }
    let (address, user) = (target.address.clone(), target.user.clone());
    let unusable = (!unusable.is_empty()).then(|| unusable.join("; "));
    match unusable {
        Some(problems) if tried.is_empty() => {
            Err(SshError::NoUsableKey { address, user, problems })
        }
        unusable if tried.is_empty() => {
            let tried = "no key, because there is none".to_owned();
            Err(SshError::Login { address, user, tried, unusable })
        }
        unusable => Err(SshError::Login { address, user, tried: tried.join(", "), unusable }),
    }
}

/// Whether the connection broke before the answer to a key arrived. libssh2 reports that with the code of a refused
/// key.
fn is_lost(error: &ssh2::Error) -> bool {
    let is_of_socket =
        matches!(error.code(), ErrorCode::Session(code) if SOCKET_ERRORS.contains(&code));
    is_of_socket || error.message().starts_with("Waiting for")
}

/// Offers the agent's keys. An agent that is missing or fails is treated as one without keys.
fn by_agent(
    session: &Session,
    target: &Target,
    socket: Option<&Path>,
    listed: Option<&[String]>,
    tried: &mut Vec<String>,
) {
    let by_environment = || std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let Some(path) = socket.map(Path::to_owned).or_else(by_environment) else { return };
    let limit = target.time_limit.min(AGENT_LIMIT);
    if let Err(e) = agent::answers(&path, limit) {
        if e.kind() == io::ErrorKind::TimedOut {
            log::warn!(
                "the ssh agent at {} did not answer within {} s and is not used",
                path.display(),
                limit.as_secs()
            );
        }
        return;
    }
    let Ok(mut agent) = session.agent() else { return };
    if let Some(socket) = socket
        && agent.set_identity_path(socket).is_err()
    {
        return;
    }
    if agent.connect().and_then(|()| agent.list_identities()).is_err() {
        return;
    }
    for identity in agent.identities().unwrap_or_default() {
        if listed.is_some_and(|listed| !listed.contains(&base64(identity.blob()))) {
            continue;
        }
        if agent.userauth(&target.user, &identity).is_ok() {
            return;
        }
        tried.push(format!("the agent's {}", identity.comment()));
    }
}

/// The public keys that belong to the key files, in base64.
fn public_keys(target: &Target) -> Vec<String> {
    let read = |key: &std::path::PathBuf| {
        let mut name = key.clone().into_os_string();
        name.push(".pub");
        let text = std::fs::read_to_string(name).ok()?;
        Some(text.split_whitespace().nth(1)?.trim_end_matches('=').to_owned())
    };
    target.keys.iter().filter_map(read).collect()
}
