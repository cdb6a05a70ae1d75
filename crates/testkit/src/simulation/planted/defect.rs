pub use sessile_core::planted::Defect;
