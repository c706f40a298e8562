/// How a file's data is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all: codec 0.
    None,
    /// As one zstd frame, which ends with the file and has a window of at most [`MAX_WINDOW`] bytes: codec 1.
    Zstd,
    /// One that this version does not know.
    Other(u8),
}

impl Codec {
    pub(super) fn number(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Zstd => 1,
            Codec::Other(number) => number,
        }
    }

    pub(super) fn of(number: u8) -> Codec {
        match number {
            0 => Codec::None,
            1 => Codec::Zstd,
            number => Codec::Other(number),
        }
    }
}

/// Extensions of the protocol that a receiver understands, as a set of bits. Early receivers send none; unknown bits
/// are kept and ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// FILE may end with the file's modification time.
    pub const MODIFIED: Features = Features(1);
    /// ZEROS replaces the data of a run of zeros.
    pub const ZEROS: Features = Features(2);
    /// sendWALFile accepts FETCHED.
    pub const FETCHED: Features = Features(4);
    /// receiveWALFile accepts RECEIPT, VOID and ASK_RECEIPT.
    pub const RECEIPTS: Features = Features(8);
    /// ASK_MISSING is answered.
    pub const MISSING: Features = Features(16);
    /// All that this version understands when it receives files.
    pub const ALL: Features = Features(
        Features::MODIFIED.0 | Features::ZEROS.0 | Features::RECEIPTS.0 | Features::MISSING.0,
    );

    /// Whether all of `others` are in this set.
    #[must_use]
    pub fn contains(self, others: Features) -> bool {
        self.0 & others.0 == others.0
    }
}

/// How a side can receive files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The codecs that it understands: bit N is set for codec N.
    pub codecs: u32,
    /// The extensions that it understands.
    pub features: Features,
}

impl Capabilities {
    /// Those of this version.
    pub const OURS: Capabilities =
        Capabilities { codecs: 1 << 0 | 1 << 1, features: Features::ALL };

    /// Whether it understands a codec.
    #[must_use]
    pub fn knows(self, codec: Codec) -> bool {
        self.codecs.checked_shr(codec.number().into()).unwrap_or_default() & 1 == 1
    }

    /// Whether it understands all of these extensions.
    #[must_use]
    pub fn has(self, features: Features) -> bool {
        self.features.contains(features)
    }
}

/// The largest window of a zstd frame that a receiver accepts, in bytes: how much of what it has decoded it must keep.
pub const MAX_WINDOW: usize = 1 << MAX_WINDOW_LOG;
pub(super) const MAX_WINDOW_LOG: u32 = 23;
