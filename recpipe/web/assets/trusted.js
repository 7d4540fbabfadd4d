/** The one Trusted Types policy: what our own server rendered may become markup, and one worker may be loaded. */

export const policy = globalThis.trustedTypes?.createPolicy("recpipe", {
  createHTML: (text) => text,
  createScriptURL: (url) => {
    if (url !== "/recordings/player-worker.js") throw new TypeError(`not a script of ours: ${url}`);
    return url;
  },
}) ?? { createHTML: (text) => text, createScriptURL: (url) => url };
