//! From files to packed rows: records with their origin, chat templates, tokens and loss masks, order and packing.

mod cache;
mod dataset;
pub mod dataset_info;
mod epoch;
mod error;
mod hashing;
mod lengths;
mod mixture;
mod order;
mod packing;
mod plan;
mod prepare;
mod records;
mod replay;
pub mod text;

pub use dataset::{Counts, Dataset, Example, Origin, Prepared};
pub use epoch::{Delivered, Epoch, Leg};
pub use error::{DataError, Position, RowFault};
pub use mixture::{Choice, Mixture, REPLAY, Task};
pub use order::{Permutation, Purpose};
pub use packing::{PACK_WINDOW, Piece, pack};
pub use plan::{
    BadRows, Choose, DataPlan, EarlierRun, Format, LengthPlan, LossOn, MixPlan, OverLength, Packing, ReplayPlan,
    Shares, Source, TaskPlan, Template, TextPlan, Valid, WrittenPlan,
};
pub use prepare::{prepare, source_hashes};
pub use records::convert::kind as json_kind;
pub use records::csv_bytes::{fields as table_fields, text as table_text};
pub use records::decode::{Encoding, gb18030};
pub use records::mend::{Broken as BrokenJson, Mended as MendedJson, mended as mended_json};
pub use records::raw::{ByteBody, ByteRow, ByteRows, Kind};
pub use records::{DEPTH_MAX, Found, Reading, Record, Records, Speaker, Tags, ValueRow, ValueRows, too_deep};
pub use replay::REPLAY_BUFFER;
pub use text::{Content, Control, Conversation, Encoded, Message, Question, TextError, TextPipeline, Turns};
