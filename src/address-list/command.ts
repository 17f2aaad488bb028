import { readPolicy } from '../config/read.ts'
import { cannotRead } from '../kubernetes/cannot-read.ts'
import { ApiError, KubernetesClient } from '../kubernetes/client.ts'
import { loadKubectlConfig } from '../kubernetes/config.ts'
import type { Policy } from '../rules/policy.ts'
import { UsageError } from '../usage-error.ts'
import { readManifests } from '../view/manifests.ts'
import { ObjectStore } from '../view/object-store.ts'
import { ReadThroughView, untilRead } from '../view/read-through.ts'
import type { AddressState } from '../vip/ledger.ts'
import { type AddressEntry, type AddressList, addressList } from './address-list.ts'
import { type Format, formats } from './format.ts'
import { problemsOf } from './problems.ts'

export type AddressListOptions = {
  /** The manifests that are looked at in place of a cluster: files, folders, `-` for the standard input. */
  filename?: readonly string[]
  /** The live cluster; the one that kubectl would take where it is left out. */
  kubeconfig?: string
  config?: string
  /** Only the addresses that Services of this namespace have, or that are claimed for them. */
  namespace?: string
  state?: AddressState
  output: Format
}

/** Milliseconds for all that is read of a cluster. */
const readTimeout = 120_000

/** What is read of a cluster, for whoever lacks the right. */
const rights =
  'It takes list on services, serviceentries and ipaddresses, get and list on namespaces, endpoints and endpointslices, cluster-wide'

const listOfCluster = async (kubeconfig: string | undefined, policy: Policy): Promise<AddressList> => {
  const { clusterDomain } = policy
  const kubeConfig = loadKubectlConfig(kubeconfig, 'give manifests by --filename')
  const client = new KubernetesClient(kubeConfig)
  const view = new ReadThroughView({ client, clusterDomain }, AbortSignal.timeout(readTimeout))
  try {
    return await untilRead(view, () => addressList(view, policy))
  } catch (error) {
    throw error instanceof ApiError ? cannotRead(error, kubeConfig.getCurrentCluster()?.server, rights) : error
  }
}

const listOfManifests = async (paths: readonly string[], policy: Policy) => {
  const store = new ObjectStore({ clusterDomain: policy.clusterDomain, unlistedNamespacesSelected: true })
  for (const path of paths) for (const object of await readManifests(path)) store.put(object)
  return { list: addressList(store, policy), showsClaims: store.size('IPAddress') > 0 }
}

const isOf = (namespace: string, { services, claim }: AddressEntry): boolean =>
  [...services, claim?.service].some((service) => service?.namespace === namespace)

/** The list as text, and what is wrong with what is in it, one line each. Throws an Error for whoever typed the options. */
export const showAddresses = async (options: AddressListOptions): Promise<{ text: string; problems: string[] }> => {
  const { filename = [], kubeconfig, config, namespace, state, output } = options
  if (filename.length > 0 && kubeconfig !== undefined) {
    throw new UsageError('--filename and --kubeconfig exclude each other: it is either manifests or a live cluster')
  }
  const policy = await readPolicy(config)
  const { list, showsClaims } =
    filename.length > 0
      ? await listOfManifests(filename, policy)
      : { list: await listOfCluster(kubeconfig, policy), showsClaims: true }
  const shown = {
    ...list,
    addresses: list.addresses.filter(
      (entry) => (namespace === undefined || isOf(namespace, entry)) && (state === undefined || entry.state === state),
    ),
  }
  const now = new Date()
  return { text: formats[output](shown, now), problems: problemsOf(shown, { now, showsClaims }) }
}
