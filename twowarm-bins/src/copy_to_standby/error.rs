use std::io;
use std::path::PathBuf;

use twowarm_core::FileError;
use twowarm_core::base_copy::{LinksError, MappingError};
use twowarm_core::data_directory::{InUse, NotTheOwner};
use twowarm_core::node::InstallError;
use twowarm_core::rsync::RsyncError;
use twowarm_core::server::ServerError;
use twowarm_core::ship::NodeError;
use twowarm_core::ship::ssh::SshError;
use twowarm_core::ship::wire::WireError;
use twowarm_core::ship::{LinkError, SendError};

/// Why there is no base copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    InUse(#[from] InUse),
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Ssh(#[from] SshError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Rsync(#[from] RsyncError),
    #[error(transparent)]
    Links(#[from] LinksError),
    #[error(transparent)]
    Mapping(#[from] MappingError),
    #[error(
        "{}/{file} exists: this is the standby's node; run copyToStandby on the primary", pgdata.display()
    )]
    Standby { pgdata: PathBuf, file: &'static str },
    #[error("the server in {} is in recovery: run copyToStandby on the primary", .0.display())]
    InRecovery(PathBuf),
    #[error(
        "in {place} what is not PostgreSQL's would be {lost}. Move it away, or run copyToStandby --yes"
    )]
    NotAgreed { place: String, lost: String },
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error("signals can't be handled: {0}")]
    Signals(#[source] io::Error),
    #[error(
        "{name} is \"{value}\", so that nothing is shipped: set {name} = {wanted} in postgresql.conf and {then} the server"
    )]
    Archiving { name: &'static str, value: String, wanted: &'static str, then: &'static str },
    #[error(
        "what belongs to the cluster is reached by symbolic links, which would be links on the other node too ({0}): put in their place what they lead to"
    )]
    InnerLinks(String),
    #[error("{}: PostgreSQL's pg_control is missing", .0.display())]
    NoControl(PathBuf),
    #[error("the WAL of the backup is not laid out as the cluster's is: {0} comes before {1}")]
    Segments(String, String),
    #[error("some files could not be copied, three times over: {0}")]
    Partial(String),
    #[error(
        "{missing} WAL files of the copy, {first} the first of them, have not arrived in {node}'s archive, and none came in {waited} s: see the server's log for what archiveWALFile says. The copy is whole; it can be started when they have arrived"
    )]
    NotArrived { node: String, missing: usize, first: String, waited: u64 },
    #[error(
        "the server in {} stopped before {missing} WAL files of the copy, {first} the first of them, were shipped: start it. The copy is whole; it can be started when they have arrived",
        pgdata.display()
    )]
    Stopped { pgdata: PathBuf, missing: usize, first: String },
    #[error(
        "rsync's ssh does not get to the {place} that receiveBaseCopy stands in: what `ssh -G {node}` says (HostName, ProxyJump, ProxyCommand) and [node.{node}] in 2warm.toml must lead to one machine"
    )]
    AnotherMachine { place: String, node: String },
    #[error(
        "{source}. The copy in {place} is unfinished and can't be started; copyToStandby again continues it"
    )]
    Unfinished { place: String, source: Box<CopyError> },
}

impl From<WireError> for CopyError {
    fn from(source: WireError) -> CopyError {
        LinkError::Wire { node: "the other node".into(), source }.into()
    }
}
