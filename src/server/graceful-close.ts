import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'

/** Milliseconds that the other side has to take our last bytes and close, before it is cut off. */
const grace = 500

/**
 * Milliseconds after which nobody is waited for any more, such as one who sent half a request: once it closes, Node does not look
 * after those.
 */
const defaultLimit = 15_000

/**
 * Makes a server closable in bounded time: whoever is being answered still is, and everybody else is let go. Node's own close
 * waits for every open socket, also for one that never sent a request, and the API server keeps such spares for 90 s. To be
 * called before the server listens.
 */
export const closeGracefully = (app: FastifyInstance, limit = defaultLimit): (() => Promise<void>) => {
  const connections = new Set<Socket>()
  /** Those that carry HTTP: a TLS connection is a socket above another, and has the bytes that are not yet sent. */
  const speaking = new Set<Socket>()
  let underWay = 0
  let closing = false
  const trackIn = (sockets: Set<Socket>) => (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  const cutOffAfter = (milliseconds: number) =>
    setTimeout(() => {
      for (const socket of connections) socket.destroy()
    }, milliseconds).unref()
  const letGoIfDone = () => {
    if (!closing || underWay > 0) return
    // An orderly end: what is written but not yet sent still is. Whoever does not answer it is cut off.
    for (const socket of speaking) socket.end()
    cutOffAfter(grace)
  }
  app.server.on('connection', trackIn(connections))
  app.server.on(app.server instanceof TlsServer ? 'secureConnection' : 'connection', trackIn(speaking))
  app.server.on('request', (_request, response) => {
    underWay++
    response.once('close', () => {
      underWay--
      letGoIfDone()
    })
  })
  return async () => {
    closing = true
    const closed = app.close()
    const last = cutOffAfter(limit)
    letGoIfDone()
    await closed
    clearTimeout(last)
  }
}
