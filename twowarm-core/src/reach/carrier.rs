/// How WAL gets to another node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "tree", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Carrier {
    /// ssh in this process, with the settings of the user's ssh configuration that it supports.
    #[default]
    Ssh2,
    /// The system's `ssh` program, which supports everything in the user's ssh configuration.
    OpenSsh,
    /// The `rsync` program, for a node without receiveWALFile.
    Rsync,
    /// The archive directory of that node is mounted on this one.
    Local,
}
