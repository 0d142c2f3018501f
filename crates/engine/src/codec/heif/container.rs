//! Items, their properties, references and bytes (`meta`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::boxes::{Boxes, Fields};
use super::properties::Property;
use crate::error::Error;

/// The most items of a file; a photo of 100 megapixels has some 400 tiles.
const MAX_ITEMS: usize = 10_000;
/// The most parts that the bytes of an item may be in.
const MAX_EXTENTS: usize = 256;

/// What `meta` declares.
pub(super) struct Container<'a> {
    file: &'a [u8],
    /// Data within `meta`.
    idat: &'a [u8],
    pub(super) primary: u32,
    items: Vec<Item<'a>>,
    properties: Vec<Property<'a>>,
    references: Vec<Reference>,
    /// The alpha of items: by the number of the item, that of its alpha.
    alphas: HashMap<u32, u32>,
}

/// An item of the file.
#[derive(Debug, Default)]
pub(super) struct Item<'a> {
    pub(super) id: u32,
    pub(super) kind: [u8; 4],
    /// One-based positions in the list of properties, and whether they must be understood.
    properties: Vec<(u16, bool)>,
    /// Whether its bytes are in `idat`.
    construction: u8,
    extents: Vec<(u64, u64)>,
    _file: std::marker::PhantomData<&'a ()>,
}

/// Items that an item refers to.
#[derive(Debug)]
struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

pub(super) fn malformed(why: impl std::fmt::Display) -> Error {
    Error::Malformed(format!("heif: {why}; send it again"))
}

impl<'a> Container<'a> {
    /// Reads the box `meta` of a file.
    pub(super) fn read(file: &'a [u8], meta: &'a [u8]) -> Result<Self, Error> {
        let cut = || malformed("the box meta ends too early");
        let boxes = Boxes::new(meta.get(4..).ok_or_else(cut)?);
        let find = |kind: &[u8; 4]| boxes.clone().find(kind);
        let mut container = Self {
            file,
            idat: find(b"idat").unwrap_or_default(),
            primary: 0,
            items: Vec::new(),
            properties: Vec::new(),
            references: Vec::new(),
            alphas: HashMap::new(),
        };
        container.primary = find(b"pitm").and_then(primary).ok_or_else(|| malformed("no primary item"))?;
        container.items =
            find(b"iinf").and_then(items).ok_or_else(|| malformed("no list of items (iinf)"))?;
        if container.items.len() > MAX_ITEMS {
            return Err(Error::Unsupported(format!("heif: {} items", container.items.len())));
        }
        // In the order of their numbers, by which they are looked up.
        container.items.sort_by_key(|item| item.id);
        let locations = find(b"iloc").ok_or_else(|| malformed("no locations of items (iloc)"))?;
        container.locate(locations).ok_or_else(|| malformed("the locations of items (iloc) are corrupt"))?;
        if let Some(properties) = find(b"iprp") {
            container.associate(properties).ok_or_else(|| malformed("the properties (iprp) are corrupt"))?;
        }
        if let Some(references) = find(b"iref") {
            container.references =
                read_references(references).ok_or_else(|| malformed("the references (iref) are corrupt"))?;
            container.alphas = container.find_alphas();
        }
        Ok(container)
    }

    /// Bytes of the file.
    pub(super) const fn length(&self) -> usize {
        self.file.len()
    }

    pub(super) fn item(&self, id: u32) -> Result<&Item<'a>, Error> {
        let at = self.items.binary_search_by_key(&id, |item| item.id);
        at.map(|at| &self.items[at]).map_err(|_| malformed(format_args!("there is no item {id}")))
    }

    fn item_mut(&mut self, id: u32) -> Option<&mut Item<'a>> {
        let at = self.items.binary_search_by_key(&id, |item| item.id).ok()?;
        Some(&mut self.items[at])
    }

    /// The properties of an item, in order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if one that must be understood is not.
    pub(super) fn properties(&self, item: &Item<'_>) -> Result<Vec<Property<'a>>, Error> {
        let mut found = Vec::with_capacity(item.properties.len());
        for &(position, essential) in &item.properties {
            let property = usize::from(position).checked_sub(1).and_then(|at| self.properties.get(at));
            match property {
                Some(Property::Unknown(kind)) if essential => {
                    let name = String::from_utf8_lossy(kind);
                    return Err(Error::Unsupported(format!("heif: the property {name}")));
                }
                Some(property) => found.push(*property),
                None => {}
            }
        }
        Ok(found)
    }

    /// The items that an item refers to.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "literals of bytes are references")]
    pub(super) fn references(&self, kind: &[u8; 4], from: u32) -> &[u32] {
        let found = self.references.iter().find(|found| &found.kind == kind && found.from == from);
        found.map_or(&[], |found| &found.to)
    }

    /// The item that is the alpha of an item.
    pub(super) fn alpha(&self, of: u32) -> Option<u32> {
        self.alphas.get(&of).copied()
    }

    /// Reads every reference once: a grid asks for the alpha of each of its tiles.
    fn find_alphas(&self) -> HashMap<u32, u32> {
        let mut alphas = HashMap::new();
        for reference in self.references.iter().filter(|found| &found.kind == b"auxl") {
            // One that does not exist is refused where it is asked for.
            if self.item(reference.from).is_ok_and(|item| !self.is_alpha(item)) {
                continue;
            }
            for to in &reference.to {
                if self.item(*to).is_ok() {
                    alphas.entry(*to).or_insert(reference.from);
                }
            }
        }
        alphas
    }

    fn is_alpha(&self, item: &Item<'_>) -> bool {
        item.properties.iter().any(|&(position, _)| {
            let property = usize::from(position).checked_sub(1).and_then(|at| self.properties.get(at));
            matches!(property, Some(Property::Auxiliary(kind)) if is_alpha(kind))
        })
    }

    /// The bytes of an item.
    pub(super) fn data(&self, item: &Item<'_>) -> Result<Cow<'a, [u8]>, Error> {
        let source = match item.construction {
            0 => self.file,
            1 => self.idat,
            other => return Err(Error::Unsupported(format!("heif: items constructed by method {other}"))),
        };
        let extent = |&(offset, length): &(u64, u64)| {
            let start = usize::try_from(offset).ok()?;
            let rest = source.get(start..)?;
            // 0 stands for all that follows.
            match usize::try_from(length).ok()? {
                0 => Some(rest),
                length => rest.get(..length),
            }
        };
        let cut = || malformed(format_args!("the file ends before item {}", item.id));
        match &item.extents[..] {
            [] => Err(malformed(format_args!("item {} has no data", item.id))),
            [one] => extent(one).map(Cow::Borrowed).ok_or_else(cut),
            several => {
                let mut data = Vec::new();
                for part in several {
                    let part = extent(part).ok_or_else(cut)?;
                    if data.len() + part.len() > self.file.len() {
                        return Err(malformed(format_args!("the parts of item {} overlap", item.id)));
                    }
                    data.extend_from_slice(part);
                }
                Ok(Cow::Owned(data))
            }
        }
    }

    /// Reads `iloc`.
    fn locate(&mut self, data: &[u8]) -> Option<()> {
        let mut fields = Fields::new(data);
        let (version, _) = fields.version()?;
        let sizes = fields.u16()?;
        let [offset, length, base, index] = [12, 8, 4, 0].map(|shift| (sizes >> shift & 0xf) as u8);
        let index = if version == 0 { 0 } else { index };
        if [offset, length, base, index].iter().any(|size| !matches!(size, 0 | 4 | 8)) {
            return None;
        }
        let count = fields.u16_or_u32(version == 2)?;
        for _ in 0..count {
            let id = fields.u16_or_u32(version == 2)?;
            let construction = if version == 0 { 0 } else { (fields.u16()? & 0xf) as u8 };
            let other_file = fields.u16()? != 0;
            let start = fields.uint(base)?;
            let extents = fields.u16()?;
            let mut parts = Vec::new();
            for _ in 0..extents {
                fields.uint(index)?;
                parts.push((start.checked_add(fields.uint(offset)?)?, fields.uint(length)?));
                if parts.len() > MAX_EXTENTS {
                    return None;
                }
            }
            // Data in another file does not exist.
            if let Some(item) = self.item_mut(id).filter(|_| !other_file) {
                (item.construction, item.extents) = (construction, parts);
            }
        }
        Some(())
    }

    /// Reads `iprp`.
    fn associate(&mut self, data: &'a [u8]) -> Option<()> {
        let boxes = Boxes::new(data);
        let properties = boxes.clone().find(b"ipco")?;
        self.properties = Property::read_all(Boxes::new(properties))?;
        for map in boxes.filter(|found| &found.kind == b"ipma") {
            let mut fields = Fields::new(map.data);
            let (version, flags) = fields.version()?;
            for _ in 0..fields.u32()? {
                let id = fields.u16_or_u32(version > 0)?;
                let count = fields.u8()?;
                let mut associated = Vec::with_capacity(count.into());
                for _ in 0..count {
                    let (value, essential) =
                        if flags & 1 == 1 { (fields.u16()?, 0x8000) } else { (fields.u8()?.into(), 0x80) };
                    associated.push((value & !essential, value & essential != 0));
                }
                if let Some(item) = self.item_mut(id) {
                    item.properties.extend(associated);
                    if item.properties.len() > MAX_EXTENTS {
                        return None;
                    }
                }
            }
        }
        Some(())
    }
}

fn is_alpha(kind: &[u8]) -> bool {
    matches!(
        kind,
        b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
            | b"urn:mpeg:hevc:2015:auxid:1"
            | b"urn:mpeg:avc:2015:auxid:1"
    )
}

/// Reads `pitm`.
fn primary(data: &[u8]) -> Option<u32> {
    let mut fields = Fields::new(data);
    let (version, _) = fields.version()?;
    fields.u16_or_u32(version > 0)
}

/// Reads `iinf`.
fn items<'a>(data: &[u8]) -> Option<Vec<Item<'a>>> {
    let mut fields = Fields::new(data);
    let (version, _) = fields.version()?;
    fields.u16_or_u32(version > 0)?;
    let entries = Boxes::new(fields.0).filter(|entry| &entry.kind == b"infe");
    let entry = |data: &[u8]| {
        let mut fields = Fields::new(data);
        let (version, _) = fields.version()?;
        if version < 2 {
            return None;
        }
        let id = fields.u16_or_u32(version > 2)?;
        fields.u16()?;
        Some(Item { id, kind: fields.kind()?, ..Item::default() })
    };
    Some(entries.filter_map(|found| entry(found.data)).take(MAX_ITEMS + 1).collect())
}

/// Reads `iref`.
fn read_references(data: &[u8]) -> Option<Vec<Reference>> {
    let mut fields = Fields::new(data);
    let (version, _) = fields.version()?;
    let mut references = Vec::new();
    for found in Boxes::new(fields.0) {
        let mut fields = Fields::new(found.data);
        let from = fields.u16_or_u32(version > 0)?;
        let count = fields.u16()?;
        let to = (0..count).map(|_| fields.u16_or_u32(version > 0)).collect::<Option<Vec<_>>>()?;
        references.push(Reference { kind: found.kind, from, to });
        if references.len() > MAX_ITEMS {
            return None;
        }
    }
    Some(references)
}
