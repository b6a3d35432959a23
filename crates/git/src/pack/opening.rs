//! [`PackOpening`]: a pack on its way to be verified, so that whoever shares the thread with others
//! can let them have it in between.

use crate::pack::inflate::Inflater;
use crate::pack::scan::{Checksum, Resolve, Scan, header};
use crate::pack::{Pack, PackError, PackLimits};

/// A pack that is being verified.
pub struct PackOpening {
    pack: Pack,
    inflater: Inflater,
    stage: Stage,
}

enum Stage {
    Checksum(Checksum, Scan),
    Scan { scan: Scan, is_intact: bool },
    Resolve(Resolve),
    Done,
}

impl PackOpening {
    /// Begins to verify a pack: its header.
    pub fn new(bytes: Vec<u8>, limits: &PackLimits) -> Result<Self, PackError> {
        let limit = limits.pack_bytes.min(u32::MAX as usize);
        if bytes.len() > limit {
            return Err(PackError::PackTooLarge { bytes: bytes.len(), limit });
        }
        let scan = Scan::new(header(&bytes)?, limits);
        let stage = Stage::Checksum(Checksum::new(), scan);
        Ok(Self { pack: Pack::unverified(bytes, limits), inflater: Inflater::new(), stage })
    }

    /// Goes on for about `work` bytes that are hashed or inflated. Says whether the pack is verified.
    pub fn step(&mut self, mut work: u64) -> Result<bool, PackError> {
        let pack = &mut self.pack;
        while work > 0 {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Checksum(mut checksum, scan) => {
                    self.stage = match checksum.step(&pack.bytes, &mut work) {
                        Some(is_intact) => Stage::Scan { scan, is_intact },
                        None => Stage::Checksum(checksum, scan),
                    };
                }
                Stage::Scan { mut scan, is_intact } => {
                    let result = scan.step(&pack.bytes, &pack.limits, &mut self.inflater, &mut work);
                    let is_over = !matches!(result, Ok(false) | Err(PackError::Truncated));
                    if is_over && !is_intact {
                        return Err(PackError::BadChecksum);
                    }
                    let done = result?;
                    self.stage = if done {
                        let (entries, resolve) = scan.finish();
                        pack.entries = entries;
                        Stage::Resolve(resolve)
                    } else {
                        Stage::Scan { scan, is_intact }
                    };
                }
                Stage::Resolve(mut resolve) => {
                    self.stage = if resolve.step(pack, &mut work)? {
                        pack.index = resolve.finish();
                        pack.index.sort_unstable();
                        Stage::Done
                    } else {
                        Stage::Resolve(resolve)
                    };
                }
                Stage::Done => return Ok(true),
            }
        }
        Ok(matches!(self.stage, Stage::Done))
    }

    /// The pack, after whatever is left to do.
    pub fn finish(mut self) -> Result<Pack, PackError> {
        while !self.step(u64::MAX)? {}
        Ok(self.pack)
    }
}
