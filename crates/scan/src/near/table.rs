//! What is in memory of each row, in the order of the rows' places: some 170 bytes.

use super::sketch::Prints;
use super::spool::Spool;
use super::{NearError, RowId, SetId, Stop};

/// A row by its number in the [`Table`].
pub(super) type Nr = u32;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub row: RowId,
    pub text_at: u64,
    pub prints: Prints,
    pub text_len: u32,
    pub asked_len: u32,
    /// Of what is compared, repeated ones too.
    pub shingles: u32,
    pub set: SetId,
    pub rank: u16,
    pub untidy: u16,
    pub shard: u16,
}

impl Entry {
    pub fn is_empty(&self) -> bool {
        self.text_len == 0
    }
}

pub(super) struct Table {
    entries: Vec<Entry>,
    glances: Vec<[u8; 64]>,
    /// For each shard, the numbers of its rows in the order they were pushed.
    numbers: Vec<Vec<Nr>>,
}

impl Table {
    pub fn load(spools: &[Spool], stop: Stop) -> Result<Self, NearError> {
        let rows = spools.iter().map(Spool::rows).sum::<usize>();
        if rows >= u32::MAX as usize || spools.len() > usize::from(u16::MAX) {
            return Err(NearError::TooManyRows);
        }
        // Rows mostly come in order; sorting numbers instead of records costs little then.
        let (mut entries, mut glances) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for (shard, spool) in spools.iter().enumerate() {
            spool.each_row(|entry, glance| {
                entries.push(Entry { shard: shard as u16, ..entry });
                glances.push(glance);
            })?;
            if stop() {
                return Err(NearError::Interrupted);
            }
        }
        let mut order: Vec<Nr> = (0..rows as Nr).collect();
        order.sort_by_key(|&i| entries[i as usize].row);
        let mut place = vec![0; rows];
        order.iter().enumerate().for_each(|(nr, &i)| place[i as usize] = nr as Nr);
        permute(&mut entries, &mut glances, &place);
        let mut numbers = Vec::with_capacity(spools.len());
        let mut start = 0;
        for spool in spools {
            numbers.push(place[start..start + spool.rows()].to_vec());
            start += spool.rows();
        }
        Ok(Self { entries, glances, numbers })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn rows(&self) -> std::ops::Range<Nr> {
        0..self.entries.len() as Nr
    }

    pub fn entry(&self, nr: Nr) -> &Entry {
        &self.entries[nr as usize]
    }

    pub fn glance(&self, nr: Nr) -> &[u8; 64] {
        &self.glances[nr as usize]
    }

    pub fn numbers(&self, shard: usize) -> &[Nr] {
        &self.numbers[shard]
    }
}

/// Moves each item `i` to `place[i]`, without a second copy of all of them.
fn permute<A, B>(a: &mut [A], b: &mut [B], place: &[Nr]) {
    let mut at = place.to_vec();
    for i in 0..at.len() {
        while at[i] as usize != i {
            let to = at[i] as usize;
            a.swap(i, to);
            b.swap(i, to);
            at.swap(i, to);
        }
    }
}
