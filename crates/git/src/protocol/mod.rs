//! The wire protocol, version 2, over smart HTTP: what is posted, and how the answers are read (gitprotocol-v2(5)).

mod bounded_buffer;
mod capabilities;
mod fetch;
mod ls_refs;
mod metadata_plan;
mod pkt_line;

pub use capabilities::{ADVERTISEMENT_PATH, AGENT, AdvertisementError, Capabilities, UPLOAD_PACK_PATH};
pub use fetch::{FetchError, FetchRequest, PackReceiver};
pub use ls_refs::{LsRefsError, RemoteRef, RemoteRefs, SkipReason, SkippedRef, ls_refs_request, parse_ls_refs};
pub use metadata_plan::MetadataPlan;
pub use pkt_line::{Packet, PktDecoder, PktLineError, encode_data, encode_delim, encode_flush};
