use std::fs;
use std::io;
use std::path::Path;

/// Why a private key can't be used without a prompt, and what to do; `None` if there is no obstacle.
pub(super) fn problem(key: &Path) -> Option<String> {
    match fs::read(key) {
        Ok(text) if needs_passphrase(&String::from_utf8_lossy(&text)) => Some(
            "needs a passphrase. HINT: add it to an ssh agent, or remove the passphrase (ssh-keygen -p)"
                .to_owned(),
        ),
        Ok(_) => None,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Some(
            "does not exist. HINT: correct key and copy_key of the node in 2warm/local/2warm.toml, or create the key with ssh-keygen"
                .to_owned(),
        ),
        Err(e) => Some(format!(
            "cannot be read ({e}). HINT: it must belong to the user that runs this command, with mode 600"
        )),
    }
}

/// Decided by the PEM headers, or by OpenSSH's format, which begins with the name of the cipher.
fn needs_passphrase(text: &str) -> bool {
    // Base64 of "openssh-key-v1\0" and the length of the cipher's name; UNENCRYPTED continues with "none".
    const OPENSSH: &str = "b3BlbnNzaC1rZXktdjEAAAAA";
    const UNENCRYPTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| {
        line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")
            || line.starts_with("-----BEGIN ENCRYPTED ")
            || line.starts_with(OPENSSH) && !line.starts_with(UNENCRYPTED)
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_key_with_a_passphrase_is_recognized() {
        let dir = tempfile::tempdir().unwrap();
        for (kind, format) in [("ed25519", ""), ("ecdsa", ""), ("rsa", "PEM"), ("rsa", "PKCS8")] {
            for passphrase in ["", "secret"] {
                let key = dir.path().join(format!("{kind}{format}{passphrase}"));
                let mut make = Command::new("ssh-keygen");
                make.args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(&key);
                if !format.is_empty() {
                    make.args(["-m", format]);
                }
                assert!(make.status().unwrap().success());
                let problem = problem(&key);
                assert_eq!(problem.is_some(), !passphrase.is_empty(), "{key:?}: {problem:?}");
            }
        }
        let missing = problem(&dir.path().join("none")).unwrap();
        assert!(missing.contains("does not exist"), "{missing}");
        let unreadable = problem(dir.path()).unwrap();
        assert!(unreadable.contains("cannot be read"), "{unreadable}");
    }
}
