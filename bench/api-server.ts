import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { type Kind, kinds } from '../src/api/kinds.ts'
import { loadKubeConfig } from '../src/kubernetes/config.ts'
import type { Manifest } from './population.ts'

/** Requests under way at once. */
const parallel = 32
const attempts = 5

const collectionOf = (kind: Kind, namespace?: string): string => {
  const { group, version, resource } = kinds[kind]
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  return `${root}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${resource}`
}

/** An API server, spoken to as directly as can be. */
export class ApiServer {
  readonly #server: string
  readonly #headers: Record<string, string>
  readonly #dispatcher: Agent

  constructor(kubeconfig: string) {
    const config = loadKubeConfig(kubeconfig)
    const cluster = config.getCurrentCluster()
    const ca = Buffer.from(cluster?.caData ?? '', 'base64')
    this.#server = cluster?.server ?? ''
    this.#headers = { authorization: `Bearer ${config.getCurrentUser()?.token}`, 'content-type': 'application/json' }
    this.#dispatcher = new Agent({ connections: parallel, connect: { ca } })
  }

  close(): Promise<void> {
    return this.#dispatcher.destroy()
  }

  async #create(manifest: Manifest): Promise<void> {
    const url = `${this.#server}${collectionOf(manifest.kind as Kind, manifest.metadata.namespace)}`
    const [headers, dispatcher, body] = [this.#headers, this.#dispatcher, JSON.stringify(manifest)]
    for (let attempt = 1; ; attempt++) {
      const answer = await request(url, { method: 'POST', headers, body, dispatcher })
      const text = await answer.body.text()
      if (answer.statusCode === 201) return
      // An API server that has more to do than it can asks for patience.
      const isBusy = answer.statusCode === 429 || answer.statusCode >= 500
      if (!isBusy || attempt === attempts) throw new Error(`${url}: ${answer.statusCode} ${text}`)
      await sleep(1_000 * attempt)
    }
  }

  /** Creates these objects, as many at once as it can use; each kind waits for the one before it. */
  async fill(manifests: readonly Manifest[], log: (line: string) => void): Promise<void> {
    for (const [kind, objects] of Map.groupBy(manifests, (manifest) => manifest.kind)) {
      const started = performance.now()
      const rest = objects.values()
      const worker = async () => {
        for (const object of rest) await this.#create(object)
      }
      await Promise.all(Array.from({ length: parallel }, worker))
      const seconds = (performance.now() - started) / 1000
      log(`${objects.length} of ${kind} in ${seconds.toFixed(1)} s, ${(objects.length / seconds).toFixed(0)} a second`)
    }
  }

  /** Has all objects of these kinds sent, side by side, as a watch gets them, and throws them away; resolves to the seconds it took. */
  async stream(streamed: readonly Kind[]): Promise<number> {
    const started = performance.now()
    const query = 'watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan'
    const streams = streamed.map(async (kind) => {
      const url = `${this.#server}${collectionOf(kind)}?${query}&timeoutSeconds=60`
      const { body } = await request(url, { headers: this.#headers, dispatcher: this.#dispatcher })
      let end = ''
      for await (const chunk of body) {
        end = (end + chunk).slice(-1_000)
        if (end.includes('k8s.io/initial-events-end')) return
      }
      throw new Error(`${url} ended before its list`)
    })
    await Promise.all(streams)
    return (performance.now() - started) / 1000
  }
}
