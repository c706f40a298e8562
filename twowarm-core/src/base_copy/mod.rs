//! Making a base copy of a running primary on another node: what is copied, what the two ends say to
//! each other, and the far end's work. `docs/base-copy.md` writes the protocol down.

mod cluster_names;
mod far_end;
mod inner_links;
mod links;
mod message;
mod nonce;
mod rules;
mod tablespaces;

pub use cluster_names::rules_without_cluster;
pub use far_end::{FarEndError, serve};
pub use inner_links::{links_inside, links_inside_tablespace};
pub use links::{LinksError, tablespace_links};
pub use message::{CopyMessage, Part, Survey, Tablespace, Target};
pub use nonce::{Nonce, NonceError};
pub use rules::{DataRules, tablespace_rules, unlogged_files, whole_tablespace_rules};
pub use tablespaces::{MappingError, map_tablespaces, rewrite_map};
