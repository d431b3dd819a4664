//! Names, organisations and places in rows, where the program is built with the feature `ner` and the user has a model.

use crate::error::ScanError;
use measures::Spot;
use std::path::Path;

/// A model for names, shared by the threads that measure rows. ONNX Runtime has threads of its own, so one text at a time.
#[cfg(feature = "ner")]
pub struct Names(std::sync::Mutex<crate::ner::Ner>);

#[cfg(feature = "ner")]
impl Names {
    /// # Errors
    /// A missing or broken file, or no ONNX Runtime library.
    pub fn open(folder: &Path) -> Result<Self, ScanError> {
        Ok(Self(std::sync::Mutex::new(crate::ner::Ner::open(folder)?)))
    }

    /// The names in each text.
    ///
    /// # Errors
    /// The model does not fit its configuration, or fails.
    pub fn find(&self, texts: &[&str]) -> Result<Vec<Vec<Spot>>, ScanError> {
        // A model that panicked in another thread has no state of ours that could be half changed.
        let mut model = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(model.find(texts)?)
    }
}

/// There is none in this build.
#[cfg(not(feature = "ner"))]
pub enum Names {}

#[cfg(not(feature = "ner"))]
impl Names {
    /// # Errors
    /// Always: this build runs no models for names.
    pub fn open(_: &Path) -> Result<Self, ScanError> {
        Err(ScanError::NamesNotBuilt)
    }

    /// # Errors
    /// None.
    pub fn find(&self, _: &[&str]) -> Result<Vec<Vec<Spot>>, ScanError> {
        match *self {}
    }
}
