//! The wire protocol over smart HTTP: what is posted, and how the answers are read. Version 2 (gitprotocol-v2(5)), and
//! the versions before it for servers that know no other (gitprotocol-pack(5)).

mod bounded_buffer;
mod capabilities;
mod fetch;
mod ls_refs;
mod metadata_plan;
mod pkt_line;
mod version_0;

pub use capabilities::{
    ADVERTISEMENT_PATH, AGENT, Advertisement, AdvertisementError, Capabilities, PROTOCOL_VERSION, UPLOAD_PACK_PATH,
};
pub use fetch::{FetchError, FetchRequest, PackReceiver};
pub use ls_refs::{LsRefsError, RemoteRef, RemoteRefs, SkipReason, SkippedRef, ls_refs_request, parse_ls_refs};
pub use metadata_plan::MetadataPlan;
pub use pkt_line::{Packet, PktDecoder, PktLineError, encode_data, encode_delim, encode_flush};
pub use version_0::{Acknowledgments, SideBand, Version0};
