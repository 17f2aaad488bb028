import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Makes a server closable in bounded time: whoever is being answered still is, and everybody else is cut off. Node's own close
 * waits for every open socket, also for one that never sent a request, and the API server keeps such spares for 90 s. To be
 * called before the server listens.
 */
export const closeGracefully = (app: FastifyInstance): (() => Promise<void>) => {
  const sockets = new Set<Socket>()
  let underWay = 0
  let closing = false
  const cutOffIfDone = () => {
    if (closing && underWay === 0) for (const socket of sockets) socket.destroy()
  }
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  app.server.on('request', (_request, response) => {
    underWay++
    response.once('close', () => {
      underWay--
      cutOffIfDone()
    })
  })
  return async () => {
    closing = true
    const closed = app.close()
    cutOffIfDone()
    await closed
  }
}
