import { readFile } from 'node:fs/promises'
import { get } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from './cache.ts'
import { type Server, tail } from './processes.ts'

const LIMIT_MS = 60_000
const POLL_MS = 50

/** A server ended since its port was in use. */
export class PortTaken extends Error {}

/**
 * Resolves when the API server is ready and has made the namespace `default`, which comes shortly after. `certificate`
 * is the file of its serving certificate, which it writes itself and which carries its own CA. Throws at once where one
 * of `servers` has ended, else after a minute.
 */
export const waitUntilReady = async (
  port: number,
  certificate: string,
  token: string,
  servers: Server[],
): Promise<void> => {
  const deadline = Date.now() + LIMIT_MS
  const paths = ['/readyz', '/api/v1/namespaces/default']
  let reason = 'no answer'
  while (paths.length > 0) {
    const ended = servers.find(({ how }) => how !== undefined)
    if (ended !== undefined) throw await failure(`${ended.name} ${ended.how}`, [ended])
    if (Date.now() > deadline) throw await failure(`not ready after ${LIMIT_MS / 1000} s (${reason})`, servers)
    const answer = await ask(port, paths[0] ?? '', certificate, token)
    if (answer === undefined) {
      paths.shift()
      continue
    }
    reason = answer
    await sleep(POLL_MS)
  }
}

const failure = async (what: string, servers: Server[]): Promise<Error> => {
  const logs = await Promise.all(
    servers.map(async ({ name, logFile }) => `\nThe log of ${name} ends:\n${await tail(logFile)}`),
  )
  const message = `control plane: ${what}${logs.join('')}`
  return /address already in use/.test(message) ? new PortTaken(message) : new Error(message)
}

/** Undefined where the answer is 200, else what came instead. */
const ask = async (port: number, path: string, certificate: string, token: string): Promise<string | undefined> => {
  let ca: Buffer
  try {
    ca = await readFile(certificate)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'the API server has written no certificate yet'
    throw error
  }
  const headers = { authorization: `Bearer ${token}` }
  const answer = new Promise<string | undefined>((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, ca, headers, agent: false, timeout: 5_000 }, (response) => {
      response.resume()
      response.once('error', reject)
      response.once('end', () => resolve(response.statusCode === 200 ? undefined : `${path}: ${response.statusCode}`))
    })
    request.once('timeout', () => request.destroy(new Error(`${path}: no answer in 5 s`)))
    request.once('error', reject)
  })
  // Any failure, a certificate that is half written among them, is worth another try until the time is over.
  return answer.catch((error) => String(error))
}
