"use strict";
/* Charts are drawn with at least two dots a pixel, so that they are sharp on paper too. */
Object.defineProperty(window, "devicePixelRatio", { value: Math.max(2, devicePixelRatio), configurable: true });
