use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ssh2::{HashType, MethodType, Session};

use super::target::Target;
use super::{KnownHostsLine, SshError};
use crate::limits::output_within;

/// A host's key in a file of known host keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownKey {
    kind: String,
    /// The public key in base64, without padding.
    key: String,
    revoked: bool,
    listed: KnownHostsLine,
}

/// Every key that the target's files of known host keys list for it.
pub(super) fn known_keys(target: &Target) -> Result<Vec<KnownKey>, SshError> {
    let bare = &target.known_as;
    let look_up = |name: &str| look_up(name, &target.known_hosts, target.time_limit);
    if target.any_port || target.address.port == 22 {
        return look_up(bare);
    }
    let found = look_up(&format!("[{bare}]:{}", target.address.port))?;
    // As in ssh, a key listed for the name alone is valid on every port.
    if found.is_empty() { look_up(bare) } else { Ok(found) }
}

/// The time limit is for each file, which may be on a file system that hangs.
fn look_up(name: &str, files: &[PathBuf], limit: Duration) -> Result<Vec<KnownKey>, SshError> {
    let mut found = Vec::new();
    for file in files {
        match std::fs::File::open(file) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(SshError::KnownHosts { file: file.clone(), error }),
        }
        // Names may be hashed, patterns or negated; ssh-keygen handles them all.
        let mut ssh_keygen = Command::new("ssh-keygen");
        ssh_keygen.args(["-F", name, "-f"]).arg(file).stdin(Stdio::null());
        let output = output_within(&mut ssh_keygen, limit).map_err(|error| SshError::Program {
            program: "ssh-keygen (part of the OpenSSH client, needed to look up host keys)",
            error,
        })?;
        found.extend(entries(&String::from_utf8_lossy(&output.stdout), file));
    }
    Ok(found)
}

/// Parses the output of `ssh-keygen -F`: a comment with the line's number, then the line.
fn entries(text: &str, file: &Path) -> Vec<KnownKey> {
    let mut found = Vec::new();
    let mut line = 0;
    for text in text.lines() {
        if let Some(comment) = text.strip_prefix('#') {
            let number = comment.split("found: line ").nth(1).and_then(|n| n.split(' ').next());
            line = number.and_then(|n| n.parse().ok()).unwrap_or(0);
            continue;
        }
        let mut words = text.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        // The key of a certificate authority is not a host key, and libssh2 knows no host certificates.
        if marker.is_some_and(|m| m != "@revoked") {
            continue;
        }
        if let (Some(_), Some(kind), Some(key)) = (words.next(), words.next(), words.next()) {
            let (kind, key) = (kind.to_owned(), key.trim_end_matches('=').to_owned());
            let listed = KnownHostsLine { file: file.into(), line };
            found.push(KnownKey { kind, key, revoked: marker.is_some(), listed });
        }
    }
    found
}

/// Prefers the kinds of host key that are known: a server has several and sends one.
pub(super) fn prefer_known(session: &Session, known: &[KnownKey]) {
    let Ok(supported) = session.supported_algs(MethodType::HostKey) else { return };
    let kinds = || known.iter().filter(|k| !k.revoked).map(|k| k.kind.as_str());
    let is_known = |algorithm: &str| {
        // One kind of key with three signature algorithms.
        let rsa = matches!(algorithm, "rsa-sha2-512" | "rsa-sha2-256");
        kinds().any(|kind| kind == algorithm || (rsa && kind == "ssh-rsa"))
    };
    let (first, rest): (Vec<&str>, Vec<&str>) = supported.iter().partition(|a| is_known(a));
    let order = [first, rest].concat().join(",");
    // Fails only if none is supported, which the handshake then reports.
    let _ = session.method_pref(MethodType::HostKey, &order);
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict<'a> {
    Known,
    Unknown,
    Changed(&'a KnownKey),
    Revoked(&'a KnownKey),
}

fn judge<'a>(known: &'a [KnownKey], key: &str) -> Verdict<'a> {
    let same = |k: &&KnownKey| k.key == key;
    if let Some(revoked) = known.iter().filter(same).find(|k| k.revoked) {
        return Verdict::Revoked(revoked);
    }
    let valid = || known.iter().filter(|k| !k.revoked);
    match (valid().find(same), valid().next()) {
        (Some(_), _) => Verdict::Known,
        (None, Some(other)) => Verdict::Changed(other),
        (None, None) => Verdict::Unknown,
    }
}

/// Checks that the server's key is known.
pub(super) fn check(
    session: &Session,
    target: &Target,
    known: &[KnownKey],
) -> Result<(), SshError> {
    let (blob, _) = session.host_key().unwrap_or((&[], ssh2::HostKeyType::Unknown));
    let hash = session.host_key_hash(HashType::Sha256).unwrap_or_default();
    let fingerprint = format!("{} SHA256:{}", kind_of(blob), base64(hash));
    let name = match target.address.port {
        22 => target.known_as.clone(),
        _ if target.any_port => target.known_as.clone(),
        port => format!("[{}]:{port}", target.known_as),
    };
    let address = target.address.clone();
    match judge(known, &base64(blob)) {
        Verdict::Known => Ok(()),
        Verdict::Unknown => {
            let file = target.known_hosts.first().cloned().unwrap_or_default();
            Err(SshError::HostKeyUnknown { address, name, fingerprint, file })
        }
        Verdict::Changed(known) => {
            let known = known.listed.clone();
            Err(SshError::HostKeyChanged { address, name, fingerprint, known })
        }
        Verdict::Revoked(known) => {
            let known = known.listed.clone();
            Err(SshError::HostKeyRevoked { address, name, fingerprint, known })
        }
    }
}

/// A public key begins with the name of its kind.
fn kind_of(blob: &[u8]) -> String {
    let kind = blob.split_first_chunk().and_then(|(length, rest)| {
        std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()
    });
    kind.unwrap_or("unknown kind").to_owned()
}

/// Base64 without padding, as in fingerprints.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_keys_are_compared_with_the_output_of_ssh_keygen() {
        let found = entries(
            "# Host db2 found: line 3 \n|1|abc=|def= ssh-ed25519 AAAAgood== comment\n\
             # Host db2 found: line 4 REVOKED\n@revoked db2 ssh-rsa AAAAbad\n\
             # Host db2 found: line 5 CA\n@cert-authority db2 ssh-rsa AAAAca\n",
            Path::new("/kh"),
        );
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].listed.line, found[0].key.as_str()), (3, "AAAAgood"));
        assert_eq!(judge(&found, "AAAAgood"), Verdict::Known);
        assert_eq!(judge(&found, "AAAAbad"), Verdict::Revoked(&found[1]));
        assert_eq!(judge(&found, "AAAAother"), Verdict::Changed(&found[0]));
        assert_eq!(judge(&found[1..], "AAAAother"), Verdict::Unknown);
        assert_eq!(judge(&[], "AAAAgood"), Verdict::Unknown);
    }
}
