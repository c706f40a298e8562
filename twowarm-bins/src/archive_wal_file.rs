//! archiveWALFile: archive_command, which ships a file to the other node's archive.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use twowarm_core::FileError;
use twowarm_core::install::{Caller, Install};
use twowarm_core::ship::content::check_content;
use twowarm_core::ship::node::{NodeError, hello};
use twowarm_core::ship::ssh::{SshError, SshTransport};
use twowarm_core::ship::wire::{Purpose, Stored};
use twowarm_core::ship::{FarCommand, Link, LinkError, SendError, Sender};
use twowarm_core::wal::WalFileName;

use crate::command::{Command, Failure, fails};
use crate::exit_codes::DONE;

/// archiveWALFile's main.
pub fn main() -> ExitCode {
    Command {
        name: "archiveWALFile",
        arguments: "PATH NAME",
        about: "For archive_command = '../2warm/global/replication/archiveWALFile %p %f': ships the file to \
                the other node and exits 0 once it is on disk there. While local/replication/archiving_active \
                is absent it ignores the file and exits 0.",
        caller: Caller::Server,
        misconfigured: fails,
        run,
    }
    .main()
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    let [path, name] = arguments else {
        let problem = format!("{} arguments instead of 2", arguments.len());
        return Err(Failure::Usage(problem));
    };
    let name = name.to_string_lossy();
    let name: WalFileName = name.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
    let path = Path::new(path);
    let other = install.require_other_node().map_err(unusable)?;
    if !install.archiving_active()? {
        log::info!(
            "ignoring {name}, which would have gone to {other}: archiving is not active (there is no {}; copyToStandby makes it)",
            install.archiving_active_file().display()
        );
        return Ok(DONE);
    }
    let hello = hello(install, Purpose::ShipWal).map_err(node_failure)?;
    check(path, name, &hello)?;
    let transport =
        SshTransport::new(install, other, FarCommand::ReceiveWalFile).map_err(ssh_failure)?;
    let mut sender = Link::open(&transport, hello).map(Sender::new).map_err(link_failure)?;
    let outcome = sender.send(name, path).map_err(send_failure)?;
    if outcome == Stored::AlreadyThere {
        let archive = &sender.link().welcome().archive;
        log::info!("{name} was in {other}:{archive} already");
    }
    sender.leave();
    Ok(DONE)
}

/// A file that is not what its name says must not leave: a standby that replayed it would end its
/// recovery.
fn check(
    path: &Path,
    name: WalFileName,
    hello: &twowarm_core::ship::wire::Hello,
) -> Result<(), Failure> {
    let mut file = File::open(path).map_err(FileError::of("open", path))?;
    let bytes = file.metadata().map_err(FileError::of("read", path))?.len();
    check_content(name, bytes, &mut file, hello)
        .map_err(|e| Failure::Failed(format!("{} is not sent: {e}", path.display()).into()))
}

fn unusable(error: impl std::error::Error + 'static) -> Failure {
    Failure::Unusable(Box::new(error))
}

/// What waiting may mend is a failure; what somebody must set right is a configuration that can't
/// work.
fn by_cure(error: impl std::error::Error + 'static, retryable: bool) -> Failure {
    if retryable { error.into() } else { unusable(error) }
}

fn node_failure(error: NodeError) -> Failure {
    let retryable = matches!(error, NodeError::Identity(_));
    by_cure(error, retryable)
}

fn ssh_failure(error: SshError) -> Failure {
    let retryable = error.is_retryable();
    by_cure(error, retryable)
}

fn link_failure(error: LinkError) -> Failure {
    let retryable = error.is_retryable();
    by_cure(error, retryable)
}

fn send_failure(error: SendError) -> Failure {
    let retryable = error.is_retryable();
    by_cure(error, retryable)
}
