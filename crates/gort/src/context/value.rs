//! Values that a context carries: a list, newest first, shared by all that descend from it.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A name for values of one type in contexts: a `static`, whose address tells it from others of the same name.
///
/// # Examples
/// ```
/// use gort::context::{Key, background};
/// static RETRIES: Key<u32> = Key::new("retries");
/// assert_eq!(background().with_value(&RETRIES, 3).value(&RETRIES), Some(&3));
/// ```
pub struct Key<T> {
    name: &'static str,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Key<T> {
    /// A key. The name is for people only.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn address(&'static self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish()
    }
}

/// One value and those before it.
pub(super) struct Values {
    /// Address of the key, which is static, not of size zero, and so nobody else's.
    key: usize,
    name: &'static str,
    value: Box<dyn Any + Send + Sync>,
    before: Option<Arc<Values>>,
}

impl Values {
    pub(super) fn new<T: Send + Sync + 'static>(
        key: &'static Key<T>,
        value: T,
        before: Option<Arc<Self>>,
    ) -> Arc<Self> {
        Arc::new(Self { key: key.address(), name: key.name, value: Box::new(value), before })
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        // One after the other: a long list must not become a deep recursion.
        let mut next = self.before.take();
        while let Some(mut values) = next.and_then(Arc::into_inner) {
            next = values.before.take();
        }
    }
}

pub(super) fn find<'a, T: 'static>(values: Option<&'a Arc<Values>>, key: &'static Key<T>) -> Option<&'a T> {
    let mut next = values;
    while let Some(values) = next {
        if values.key == key.address() {
            return values.value.downcast_ref();
        }
        next = values.before.as_ref();
    }
    None
}

/// The names of the values, as fields.
pub(super) fn describe(values: Option<&Arc<Values>>, out: &mut fmt::DebugStruct<'_, '_>) {
    let mut next = values;
    while let Some(values) = next {
        out.field(values.name, &"..");
        next = values.before.as_ref();
    }
}
