import { Fields } from '../api/fields.ts'
import {
  claimedAtAnnotation,
  ipFamilyLabel,
  managedBy,
  managedByLabel,
  parseIPAddress,
  releasedAnnotation,
} from '../api/ip-address.ts'
import { type NamespacedName, sameName } from '../api/metadata.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import type { ObjectStore } from '../view/object-store.ts'

/** Which addresses are claimed for which Service: at most one Service an address, whoever asks and however often. */
export type Claims = {
  /**
   * Claims an address for a Service. True where it is that Service's now, also where it was already; false where another holds it.
   * A dry run says the same and leaves nothing behind. Rejects where the store cannot be reached.
   */
  claim(address: string, service: NamespacedName, options: { dryRun: boolean; signal: AbortSignal }): Promise<boolean>
}

/** The IPAddress object that says a Service holds an address. */
const ipAddressObject = (address: string, { namespace, name }: NamespacedName) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IPAddress',
  metadata: {
    name: address,
    labels: { [managedByLabel]: managedBy, [ipFamilyLabel]: address.includes(':') ? 'IPv6' : 'IPv4' },
  },
  spec: { parentRef: { group: '', resource: 'services', namespace, name } },
})

/** Claims in memory, for a cluster that is no other process's business. */
export class MemoryClaims implements Claims {
  readonly #store: ObjectStore

  constructor(store: ObjectStore) {
    this.#store = store
  }

  async claim(address: string, service: NamespacedName, { dryRun }: { dryRun: boolean }): Promise<boolean> {
    const present = this.#store.claim(address)
    if (present !== undefined) return present.service !== undefined && sameName(present.service, service)
    if (!dryRun) this.#store.put({ kind: 'IPAddress', object: parseIPAddress(ipAddressObject(address, service)) })
    return true
  }
}

/** How often a claim that vanishes or changes under our hands is asked for anew before the request is given up. */
const maxAttempts = 10

const hasStatus = (error: unknown, status: number): boolean => error instanceof ApiError && error.status === status

/** Claims as networking.k8s.io/v1 IPAddress objects: there can be one of a name, and etcd decides who was first. */
export class IPAddressClaims implements Claims {
  readonly #client: KubernetesClient
  readonly #onClaimed: (object: unknown) => void

  /** `onClaimed` is given each new IPAddress object, as the API server has it. */
  constructor(client: KubernetesClient, onClaimed: (object: unknown) => void = () => {}) {
    this.#client = client
    this.#onClaimed = onClaimed
  }

  async claim(
    address: string,
    service: NamespacedName,
    { dryRun, signal }: { dryRun: boolean; signal: AbortSignal },
  ): Promise<boolean> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      try {
        const created = await this.#client.create('IPAddress', ipAddressObject(address, service), { dryRun }, signal)
        if (!dryRun) this.#onClaimed(created)
        return true
      } catch (error) {
        if (!hasStatus(error, 409)) throw error
      }
      const present = await this.#client.get('IPAddress', { namespace: '', name: address }, signal)
      if (present === undefined) continue
      const holder = parseIPAddress(present).service
      if (holder === undefined || !sameName(holder, service)) return false
      if (dryRun || (await this.#touch(present, signal))) return true
    }
    throw new ApiError(0, `the claim on ${address} was deleted or changed as often as it was asked for`)
  }

  /**
   * Moves the resourceVersion of a claim that is used again, so that whoever collects orphans cannot delete it on what it saw
   * before. False where it is gone or was changed: by its name alone there may be another's by now.
   */
  async #touch(claim: unknown, signal: AbortSignal): Promise<boolean> {
    const metadata = new Fields(claim).object('metadata')
    const name = { namespace: '', name: String(metadata.raw('name')) }
    const resourceVersion = metadata.raw('resourceVersion')
    const now = new Date()
    // A patch that changes nothing is not written: of two touches at one time the later would leave the resourceVersion as it is.
    const isAtOnce = now.toISOString() === parseIPAddress(claim).claimedAt
    const claimedAt = isAtOnce ? new Date(now.getTime() + 1) : now
    const annotations = { [claimedAtAnnotation]: claimedAt.toISOString(), [releasedAnnotation]: null }
    // One that was made by hand is ours from now on: without the label it would never be in view.
    const isLabelled = metadata.stringMap('labels').has(managedByLabel)
    const labels = isLabelled ? {} : { [managedByLabel]: managedBy }
    try {
      await this.#client.mergePatch('IPAddress', name, { metadata: { resourceVersion, annotations, labels } }, signal)
      return true
    } catch (error) {
      if (hasStatus(error, 404) || hasStatus(error, 409)) return false
      throw error
    }
  }
}
