//! Plots as SVG that take their colours from the page.
