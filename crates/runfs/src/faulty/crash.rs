//! The states in which a power cut could leave the disk.

use super::FaultyFs;
use super::disk::{Change, Disk, Node};
use std::sync::Arc;

/// Up to so many unsynced entries every subset of them is tried. Beyond: all beginnings, each alone, all but each.
const SUBSETS_OF_MAX: usize = 5;

/// A state of the disk after a power cut.
#[derive(Clone, Debug)]
pub struct CrashImage {
    /// The operation before the cut, for messages.
    pub after: String,
    /// The disk as it would be found; it does not fail and can be written on.
    pub fs: FaultyFs,
}

/// What became of content that was not synced.
#[derive(Clone, Copy)]
enum Content {
    Lost,
    /// The first half of the change arrived and the length too.
    Half,
    /// The first half of the change arrived over the old content, whose length stayed.
    Overlaid,
    /// The length arrived, the data did not.
    Zeroed,
    Whole,
}

const CONTENTS: [Content; 5] = [Content::Lost, Content::Half, Content::Overlaid, Content::Zeroed, Content::Whole];

pub(super) fn images(disk: &Disk, after: &str) -> Vec<CrashImage> {
    let dirty = disk.nodes.iter().any(|node| matches!(node, Node::File { cached, durable } if cached != durable));
    let contents = if dirty { &CONTENTS[..] } else { &CONTENTS[..1] };
    let mut images = Vec::new();
    for subset in subsets(disk.pending.len()) {
        let applied: Vec<&(usize, Change)> = subset.iter().map(|i| &disk.pending[*i]).collect();
        for content in contents {
            let fs = FaultyFs::from_disk(image(disk, &applied, *content));
            images.push(CrashImage { after: after.to_owned(), fs });
        }
    }
    images
}

/// The durable state with some of the pending changes.
fn image(disk: &Disk, applied: &[&(usize, Change)], content: Content) -> Disk {
    let mut nodes: Vec<Node> = disk.nodes.iter().map(|node| survivor(node, content)).collect();
    for (dir, change) in applied {
        if let Node::Dir { cached, .. } = &mut nodes[*dir] {
            change.apply(cached);
        }
    }
    Disk { nodes, exchanges: disk.exchanges, ..Disk::default() }.settled()
}

fn survivor(node: &Node, content: Content) -> Node {
    match node {
        Node::Dir { durable, .. } => Node::Dir { cached: durable.clone(), durable: durable.clone() },
        Node::File { cached, durable } => {
            let kept = if cached == durable { cached.clone() } else { torn(cached, durable, content) };
            Node::File { cached: kept.clone(), durable: kept }
        }
    }
}

fn torn(cached: &Arc<Vec<u8>>, durable: &Arc<Vec<u8>>, content: Content) -> Arc<Vec<u8>> {
    let same = cached.iter().zip(durable.iter()).take_while(|(a, b)| a == b).count();
    let half = same + (cached.len() - same) / 2;
    match content {
        Content::Lost => durable.clone(),
        Content::Half => Arc::new(cached[..half].to_vec()),
        Content::Overlaid => {
            let stayed = durable.get(half..).unwrap_or_default();
            Arc::new([&cached[..half], stayed].concat())
        }
        Content::Zeroed => {
            let mut bytes = cached[..same].to_vec();
            bytes.resize(cached.len(), 0);
            Arc::new(bytes)
        }
        Content::Whole => cached.clone(),
    }
}

/// Sets of indices below `n`, each ascending.
fn subsets(n: usize) -> Vec<Vec<usize>> {
    if n <= SUBSETS_OF_MAX {
        return (0..1_usize << n).map(|mask| (0..n).filter(|i| mask >> i & 1 == 1).collect()).collect();
    }
    let beginnings = (0..=n).map(|end| (0..end).collect());
    let alone = (0..n).map(|i| vec![i]);
    let all_but = (0..n).map(|i| (0..n).filter(|j| *j != i).collect());
    beginnings.chain(alone).chain(all_but).collect()
}
