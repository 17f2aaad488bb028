import { Agent, request } from 'node:https'
import type { TLSSocket } from 'node:tls'

export type Reply = {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
  /** The connection that it came over. */
  socket: TLSSocket
  /** The names and addresses that the server's certificate is for. */
  names: string
}

/**
 * POSTs a text over TLS: by the connections of an agent, or by one of its own that trusts this CA alone. Gives up after ten
 * seconds.
 */
export const postOverTls = (url: string, trust: string | Agent, body: string): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const agent = typeof trust === 'string' ? new Agent({ ca: trust }) : trust
    const sent = request(url, { method: 'POST', agent, signal: AbortSignal.timeout(10_000) }, (response) => {
      const socket = response.socket as TLSSocket
      const names = socket.getPeerCertificate().subjectaltname ?? ''
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode = 0, headers } = response
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks).toString(), socket, names })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
