/** Where to listen. */
export type HostPort = { host: string; port: number }

/** As it stands in a URL: an IPv6 host in brackets. */
export const formatHostPort = ({ host, port }: HostPort): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

/**
 * Parses HOST:PORT, with an IPv6 host in brackets. Without a host, `:8443`, it means all addresses of the machine. Undefined for
 * any other text.
 */
export const parseHostPort = (text: string): HostPort | undefined => {
  const [, bracketed, plain = '', digits = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]*)):(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port > 65535) return undefined
  return { host: bracketed ?? (plain || '0.0.0.0'), port }
}
