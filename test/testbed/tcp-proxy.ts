import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A loopback port whose connections lead to another one, until they are interfered with. */
export type TcpProxy = {
  port: number
  /** Ends all connections: in an orderly way, as a load balancer does, or by a reset. */
  cut: (how: 'end' | 'reset') => void
  /** Forwards nothing any more in either direction; connections stay open, and new ones are still taken. */
  stall: () => void
  /** Resets each new connection at once; those that are open stay. */
  refuse: () => void
  /** Forwards everything again, what was held back first. */
  forward: () => void
  /** Forwards everything so many milliseconds late, in either direction; 0 for at once. */
  delay: (milliseconds: number) => void
  close: () => Promise<void>
}

/** Forwards a free loopback port to another. It does not keep Node alive. */
export const startTcpProxy = async (target: number): Promise<TcpProxy> => {
  /** Both ends of each connection. */
  const sockets = new Set<Socket>()
  let lateness = 0
  let state: 'forwards' | 'stalls' | 'refuses' = 'forwards'

  const lead = (from: Socket, to: Socket): void => {
    const send = (chunk: Buffer) => {
      if (!to.destroyed && !to.write(chunk)) from.pause()
    }
    from.on('data', (chunk: Buffer) => {
      if (lateness === 0) send(chunk)
      else setTimeout(send, lateness, chunk).unref()
    })
    to.on('drain', () => {
      if (state !== 'stalls') from.resume()
    })
    from.on('end', () => to.end())
    // What broke on one side is seen as a reset on the other.
    from.on('error', () => to.resetAndDestroy())
    if (state === 'stalls') from.pause()
  }
  const listener = createServer((client) => {
    if (state === 'refuses') {
      client.resetAndDestroy()
      return
    }
    const server = connect({ host: '127.0.0.1', port: target })
    for (const socket of [client, server]) {
      sockets.add(socket.unref().once('close', () => sockets.delete(socket)))
    }
    lead(client, server)
    lead(server, client)
  })
  await once(listener.listen(0, '127.0.0.1').unref(), 'listening')

  const cut: TcpProxy['cut'] = (how) => {
    for (const socket of sockets) how === 'reset' ? socket.resetAndDestroy() : socket.destroy()
  }
  return {
    port: (listener.address() as AddressInfo).port,
    cut,
    stall: () => {
      state = 'stalls'
      for (const socket of sockets) socket.pause()
    },
    refuse: () => {
      state = 'refuses'
    },
    forward: () => {
      state = 'forwards'
      for (const socket of sockets) socket.resume()
    },
    delay: (milliseconds) => {
      lateness = milliseconds
    },
    close: async () => {
      const closed = once(listener, 'close')
      listener.close()
      cut('reset')
      await closed
    },
  }
}
