import { suite } from 'uvu'
import { openStore } from '../../support/open-store.ts'
import { addStoreTests } from '../../support/store-suite.ts'

const store = suite('main/shards/sharded-store-trims')

addStoreTests(store, ['trims'], () => openStore(2))

store.run()
