//! Base copies: a copy of a running primary or standby becomes the data directory of another node.
//!
//! [`BaseCopy`] is the near end, on the node that is copied; [`CopyTarget`] the far end. `docs/base-copy.md` describes
//! the protocol between them.

mod cluster_names;
mod far_end;
mod inner_links;
mod links;
mod message;
mod near_end;
mod nonce;
mod rules;
mod tablespaces;

use cluster_names::rules_without_cluster;
pub use far_end::{CopyTarget, FarEndError};
use inner_links::{links_inside, links_inside_tablespace};
pub use links::LinksError;
use links::tablespace_links;
pub use message::{CopyMessage, Part, Survey, Tablespace, Target};
pub(crate) use near_end::check_settings;
pub use near_end::{
    ArchiverFailure, BaseCopy, Callbacks, Changes, CopyError, CopyLosses, Progress, Signals,
    TargetRole, Wait,
};
use nonce::Nonce;
pub use nonce::NonceError;
use rules::{DataRules, tablespace_rules, unlogged_files, whole_tablespace_rules};
pub use tablespaces::MappingError;
use tablespaces::{map_tablespaces, rewrite_map};
