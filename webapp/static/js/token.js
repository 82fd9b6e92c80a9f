// @ts-check

/** The token that proves a request to be ours, from its cookie: a login in another tab changes it. */
export function token() {
  return /(?:^|; )(?:__Host-)?nocturne-csrf=([^;]+)/.exec(document.cookie)?.[1] ?? "";
}
