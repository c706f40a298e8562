//! triggerStandby on the standby, started over ssh.

use std::io;
use std::path::PathBuf;

use crate::reach::Reach;
use crate::ship::carrier::NodeTransport;
use crate::ship::ssh::SshError;
use crate::ship::{ConnectError, FarCommand, Transport};

/// The line that triggerStandby prints when the server has committed a write.
const OPEN: &str = "The server is open: ";

/// The line that `triggerStandby --check` prints for a standby whose server is running.
const RUNNING: &str = "The standby in ";

/// The beginning of the line that it prints if no server is running, which says what to do.
const NOT_RUNNING: &str = "The trigger file was written, but no server is running";

/// The beginning of the last line of a triggerStandby that has refused.
const ERROR: &str = "triggerStandby: ERROR: ";

/// How many time limits without output are waited for: it prints its progress.
const SILENT_LIMITS: u32 = 10;

/// Promotes the standby on another node.
#[derive(Debug)]
pub struct FarPromotion {
    /// Starts triggerStandby there.
    pub promote: NodeTransport,
    /// Starts it to check that the standby is running.
    pub check: NodeTransport,
    /// The private key that is used, if the configuration of 2warm names one.
    pub key: Option<PathBuf>,
}

/// Why the standby was not promoted, as far as is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotPromoted {
    /// The command could not be started.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The other node's authorized_keys restricts the key to another command.
    #[error(
        "{node} accepts {} only for {command}: authorized_keys there restricts it to that command. HINT: set copy_key of [node.{node}] in 2warm/local/2warm.toml to a key without this restriction", key.as_ref().map_or_else(|| "the default key of ssh".into(), |key| format!("the key \"{}\"", key.display()))
    )]
    PinnedKey {
        /// The node.
        node: String,
        /// The private key, if the configuration of 2warm names one.
        key: Option<PathBuf>,
        /// The command.
        command: &'static str,
    },
    /// It can be started, but its output is not the expected one.
    #[error(
        "triggerStandby on {node} cannot be used: {why}. HINT: update twowarm there (distrib2warm)"
    )]
    Unusable {
        /// The node.
        node: String,
        /// Its last message.
        why: String,
    },
    /// triggerStandby has refused: the node is still a standby.
    #[error("triggerStandby on {node}: {why}")]
    Refused {
        /// The node.
        node: String,
        /// Its message.
        why: String,
    },
    /// The connection ended before triggerStandby did.
    #[error("triggerStandby on {node} did not report that the server is open: {why}")]
    Unknown {
        /// The node.
        node: String,
        /// Why.
        why: String,
    },
}

impl NotPromoted {
    /// Whether the node is certainly still a standby.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        // The command may have been started before the connection failed.
        !matches!(self, NotPromoted::Unknown { .. } | NotPromoted::Connect(_))
    }
}

impl FarPromotion {
    /// On the node of this reach, with its key for base copies.
    ///
    /// # Errors
    /// If a shell could give the path of the command another meaning.
    pub fn new(reach: &Reach) -> Result<FarPromotion, SshError> {
        Ok(FarPromotion {
            promote: NodeTransport::by_ssh(reach, FarCommand::TriggerStandby)?,
            check: NodeTransport::by_ssh(reach, FarCommand::CheckStandby)?,
            key: reach.key_for_copies().cloned(),
        })
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        self.promote.node()
    }

    /// Checks that triggerStandby can be started there, and that the standby is running.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self) -> Result<(), NotPromoted> {
        let node = self.node().to_owned();
        let mut is_running = false;
        match run(&self.check, &mut |line| is_running |= line.starts_with(RUNNING))? {
            Ended::Regularly(_) if is_running => Ok(()),
            Ended::Regularly(Some(words)) => Err(match self.refusal(&words) {
                Some(refusal) => refusal,
                None => NotPromoted::Unusable { node, why: words },
            }),
            Ended::Regularly(None) => {
                Err(NotPromoted::Unusable { node, why: "unexpected output".into() })
            }
            Ended::Lost(why) => Err(NotPromoted::Unusable { node, why }),
        }
    }

    /// Promotes it, and waits until it has committed a write. `line` is called for each line that triggerStandby prints.
    ///
    /// # Errors
    /// If it was not promoted, or if that is not known.
    pub fn run(&self, line: &mut dyn FnMut(&str)) -> Result<(), NotPromoted> {
        let node = self.node().to_owned();
        let (mut is_open, mut last) = (false, String::new());
        let ended = run(&self.promote, &mut |text| {
            is_open |= text.starts_with(OPEN);
            if !last.starts_with(NOT_RUNNING) {
                text.clone_into(&mut last);
            }
            line(text);
        })?;
        match ended {
            _ if is_open => Ok(()),
            Ended::Regularly(Some(words)) => Err(match self.refusal(&words) {
                Some(refusal) => refusal,
                None => NotPromoted::Unknown { node, why: words },
            }),
            Ended::Regularly(None) => {
                let why = match last.starts_with(NOT_RUNNING) {
                    true => last,
                    false => format!("its last line is \"{last}\""),
                };
                Err(NotPromoted::Unknown { node, why })
            }
            Ended::Lost(why) => Err(NotPromoted::Unknown { node, why }),
        }
    }
}

impl FarPromotion {
    /// The refusal that a last line is, if it is one: triggerStandby has refused, or was not started.
    fn refusal(&self, words: &str) -> Option<NotPromoted> {
        let node = self.node().to_owned();
        if let Some(command) = FarCommand::of_message(words) {
            return Some(NotPromoted::PinnedKey { node, key: self.key.clone(), command });
        }
        let why = words.strip_prefix(ERROR)?.to_owned();
        Some(NotPromoted::Refused { node, why })
    }
}

enum Ended {
    /// Its output has ended; its last message.
    Regularly(Option<String>),
    Lost(String),
}

/// Starts the command and reads its output, line by line.
fn run(transport: &NodeTransport, line: &mut dyn FnMut(&str)) -> Result<Ended, ConnectError> {
    let mut connection = transport.connect()?;
    let (mut pending, mut buffer, mut silent) = (Vec::new(), [0; 4096], 0);
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => {
                return match connection.connect_failure() {
                    Some(error) => Err(error),
                    None => Ok(Ended::Regularly(connection.last_words())),
                };
            }
            Ok(read) => {
                silent = 0;
                pending.extend(&buffer[..read]);
                while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
                    let text: Vec<u8> = pending.drain(..=end).collect();
                    line(&printable(&text));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut && silent < SILENT_LIMITS => silent += 1,
            Err(e) => return Ok(Ended::Lost(e.to_string())),
        }
    }
}

fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
