//! Field sections as they come in.

use super::table::Table;
use super::{Malformed, huffman, integer};

/// What the dynamic table may hold, since we do not say otherwise (RFC 9113, section 6.5.2).
const TABLE_SIZE: usize = 4096;

/// Decodes the field sections of one connection, all of them and in order: each may refer to earlier ones.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// A name and a value that were coded.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: Table::new(TABLE_SIZE), name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Hands each line of a field section to `take`, name and value, in order.
    pub fn decode(&mut self, mut block: &[u8], mut take: impl FnMut(&[u8], &[u8])) -> Result<(), Malformed> {
        let mut may_resize = true;
        while let Some(&first) = block.first() {
            if first & 0xe0 == 0x20 {
                self.resize(&mut block, may_resize)?;
                continue;
            }
            may_resize = false;
            if first & 0x80 != 0 {
                let index = integer::take(&mut block, 7)?;
                let (name, value) = self.table.get(index).ok_or(NO_SUCH_INDEX)?;
                take(name, value);
            } else if first & 0x40 != 0 {
                self.literal(&mut block, 6)?;
                take(&self.name, &self.value);
                self.table.add(&self.name, &self.value);
            } else {
                self.literal(&mut block, 4)?;
                take(&self.name, &self.value);
            }
        }
        Ok(())
    }

    /// A size that the table is to have from here on (RFC 7541, section 6.3): only before the first line.
    fn resize(&mut self, block: &mut &[u8], may_resize: bool) -> Result<(), Malformed> {
        let size = integer::take(block, 5)?;
        if !may_resize || size > TABLE_SIZE {
            return Err(Malformed("the table's size is changed where it must not be"));
        }
        self.table.resize(size);
        Ok(())
    }

    /// A line that is spelled out, its name perhaps in the table.
    fn literal(&mut self, block: &mut &[u8], bits: u32) -> Result<(), Malformed> {
        let index = integer::take(block, bits)?;
        if index == 0 {
            string(block, &mut self.name)?;
        } else {
            let (name, _) = self.table.get(index).ok_or(NO_SUCH_INDEX)?;
            self.name.clear();
            self.name.extend_from_slice(name);
        }
        string(block, &mut self.value)
    }
}

const NO_SUCH_INDEX: Malformed = Malformed("there is no line of that index");

/// Takes a string from the front of `block` (RFC 7541, section 5.2).
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.clear();
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::take(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Malformed("it ends within a string"))?;
    *block = rest;
    if is_coded {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}
