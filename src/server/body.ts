import type { IncomingMessage } from 'node:http'
import { Overload, type Share } from './capacity.ts'

/** A body that cannot be had: it is too large, or breaks off. */
export class UnreadableBody extends Error {
  override readonly name = 'UnreadableBody'
}

/** Reads a body as UTF-8, and counts it as it comes. Rejects with UnreadableBody or Overload. */
export const readBody = async (payload: IncomingMessage, limit: number, share: Share): Promise<string> => {
  const chunks: Buffer[] = []
  let length = 0
  try {
    // One that announces too much is not waited for.
    if (Number(payload.headers['content-length'] ?? 0) > limit) throw new Error(`it is larger than ${limit} bytes`)
    for await (const chunk of payload as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > limit) throw new Error(`it is larger than ${limit} bytes`)
      share.addBytes(chunk.length)
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof Overload) throw cause
    throw new UnreadableBody((cause as Error).message, { cause })
  }
  share.addReview()
  return Buffer.concat(chunks).toString()
}
