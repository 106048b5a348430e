// The globals beside those of ES2023 itself: what the engine has, and what the SDK supplies.

declare var console: Record<"debug" | "trace" | "log" | "info" | "warn" | "error", (...values: unknown[]) => void> & {
  assert(condition: unknown, ...values: unknown[]): void;
};

declare class TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array;
}

declare class TextDecoder {
  constructor(label?: "utf-8");
  readonly encoding: string;
  decode(data?: ArrayBuffer | ArrayBufferView): string;
}

declare var crypto: {
  getRandomValues<T extends ArrayBufferView>(array: T): T;
  randomUUID(): string;
};

declare function atob(text: string): string;
declare function btoa(text: string): string;
declare function queueMicrotask(work: () => void): void;
