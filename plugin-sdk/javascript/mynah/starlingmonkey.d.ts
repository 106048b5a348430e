// The globals beside those of ES2023 itself: fetch, URL, timers and more of what a worker has.

/// <reference lib="webworker" />
