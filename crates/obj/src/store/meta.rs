//! Metadata: values of the layers above, by namespace and key. What they mean is theirs.

use bytes::Bytes;

use super::{Batch, Meta, Store, StoreError, index};

impl Store {
    /// Sets a metadata value durably.
    pub fn meta_put(
        &self,
        namespace: Meta,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.meta_put(namespace, key, value);
        self.commit(batch)
    }

    /// A metadata value.
    pub fn meta_get(
        &self,
        namespace: Meta,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<Bytes>, StoreError> {
        let meta = self.0.table(index::META)?;
        let value = meta.get(namespace.key(key.as_ref()).as_slice());
        let value = value.map_err(|e| self.0.index.failure("reading metadata", e))?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    /// Removes a metadata value durably.
    pub fn meta_delete(&self, namespace: Meta, key: impl AsRef<[u8]>) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.meta_delete(namespace, key);
        self.commit(batch)
    }

    /// Every key and value of a namespace, in the order of the keys.
    pub fn meta_scan(&self, namespace: Meta) -> Result<Vec<(Vec<u8>, Bytes)>, StoreError> {
        self.meta_scan_prefix(namespace, [])
    }

    /// Every key that begins with `prefix`, and its value, in the order of the keys.
    pub fn meta_scan_prefix(
        &self,
        namespace: Meta,
        prefix: impl AsRef<[u8]>,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, StoreError> {
        let doing = "reading metadata";
        let meta = self.0.table(index::META)?;
        let first = namespace.key(prefix.as_ref());
        let range = meta.range::<&[u8]>(first.as_slice()..);
        let mut found = Vec::new();
        for entry in range.map_err(|e| self.0.index.failure(doing, e))? {
            let (key, value) = entry.map_err(|e| self.0.index.failure(doing, e))?;
            if !key.value().starts_with(&first) {
                break;
            }
            found.push((key.value()[1..].to_vec(), Bytes::copy_from_slice(value.value())));
        }
        Ok(found)
    }
}
