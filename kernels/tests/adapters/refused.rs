//! What is no adapter, or not of this model, is refused by name.

use super::*;

#[test]
fn memory_holds_a_few_adapters() {
    let checkpoint = Checkpoint::own("adapters/llama/base", "config.json");
    let mut engine = checkpoint.engine(&Opened::cpu(), checkpoint.all());
    let load = |engine: &mut Engine<u32>, rank: usize| {
        let (files, _) = random_adapter(&checkpoint, rank);
        let adapter = open(&files, &checkpoint.config);
        let source = async |range: &ByteRange| read(&files, range).await;
        block_on(engine.load_adapter(&adapter, Layers::new(0, 1), source)).map(|()| adapter.id())
    };
    let ids: Vec<_> = (1..=limits::ADAPTERS).map(|rank| load(&mut engine, rank).unwrap()).collect();
    assert!(matches!(load(&mut engine, 40), Err(Error::Adapter(_))));
    load(&mut engine, 1).expect("it is there already");
    engine.unload_adapter(ids[0]);
    load(&mut engine, 40).expect("there is room again");
}

/// The same folder with another configuration.
fn with_config(files: &Memory, from: &str, to: &str) -> Memory {
    let mut files = Memory(files.0.clone());
    let json = String::from_utf8(files.0[CONFIG].clone()).unwrap();
    assert!(json.contains(from), "{from} in {json}");
    files.0.insert(CONFIG.to_owned(), json.replace(from, to).into_bytes());
    files
}

/// The same folder with other tensors.
fn with_tensors(files: &Memory, change: impl Fn(&mut BTreeMap<String, Numbers>)) -> Memory {
    let mut files = Memory(files.0.clone());
    let mut tensors = read_tensors(&files.0[WEIGHTS]).unwrap();
    change(&mut tensors);
    files.0.insert(WEIGHTS.to_owned(), write_tensors(&tensors).unwrap());
    files
}

/// Rows: what is opened, for which model, what the refusal names, why.
#[test]
fn what_does_not_fit_the_model_is_refused_by_name() {
    let llama = Checkpoint::own("adapters/llama/base", "config.json").config;
    let plain = folder("llama/plain");
    let a = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let vector = || Numbers { shape: vec![4], values: vec![0.0; 4] };
    let (shallow, tied) = (Config { layers: 2, ..llama.clone() }, Config { tied: true, ..llama.clone() });
    let rows = [
        (folder("qwen2/all"), &llama, "shape", "of another width"),
        (folder("llama/patterns"), &tied, "lm_head", "changes a head that is the embedding here"),
        (folder("llama/patterns"), &shallow, "model.layers.2", "of a model with more layers"),
        (with_config(&plain, "\"r\": 4", "\"r\": 5"), &llama, "shape", "another rank"),
        (with_config(&plain, "\"r\": 4", "\"r\": 2000000000"), &llama, "rank 2000000000", "a huge rank"),
        (
            with_config(&plain, "\"v_proj\"", "\"k_proj\""),
            &llama,
            "v_proj",
            "the configuration of another adapter",
        ),
        (with_config(&plain, "\"LORA\"", "\"LOHA\""), &llama, "LOHA", "another method"),
        (with_tensors(&plain, |all| drop(all.remove(a))), &llama, a, "half a pair"),
        (with_tensors(&plain, BTreeMap::clear), &llama, "nothing", "no tensors"),
        (
            with_tensors(&plain, |all| drop(all.insert("base_model.model.lm_head.bias".into(), vector()))),
            &llama,
            "lm_head.bias",
            "a bias",
        ),
        (
            with_tensors(&plain, |all| {
                all.insert("base_model.model.model.embed_tokens.lora_embedding_A".into(), vector());
            }),
            &llama,
            "lora_embedding_A",
            "an embedding",
        ),
        (
            with_tensors(&plain, |all| {
                for name in [a.to_owned(), a.replace("lora_A", "lora_B")] {
                    let tensor = all.remove(&name).unwrap();
                    all.insert(name.replace("q_proj", "z_proj"), tensor);
                }
            }),
            &llama,
            "z_proj",
            "a matrix that no model has",
        ),
        (Memory(BTreeMap::new()), &llama, CONFIG, "no files"),
        (
            with_tensors(&folder("llama/patterns"), |all| {
                let head = Numbers { shape: vec![65, 64], values: vec![0.0; 65 * 64] };
                all.insert("base_model.model.lm_head.base_layer.weight".into(), head);
            }),
            &llama,
            "shape",
            "a head with one more token",
        ),
    ];
    for (files, config, named, why) in rows {
        let error = block_on(Adapter::open(&files, config)).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
}

#[test]
fn an_adapter_is_named_by_all_of_its_bytes_and_may_name_its_base() {
    let config = Checkpoint::own("adapters/llama/base", "config.json").config;
    let plain = folder("llama/plain");
    let id = open(&plain, &config).id();
    assert_eq!(id, open(&folder("llama/plain"), &config).id());
    let mut other = Memory(plain.0.clone());
    *other.0.get_mut(WEIGHTS).unwrap().last_mut().unwrap() ^= 1;
    assert_ne!(id, open(&other, &config).id(), "one bit of a weight");
    let [ours, another] = [kernels::weights::manifest::Hash([0xab; 32]), id];
    open(&plain, &config).check_base(&[ours]).expect("an adapter need not say");
    let named = with_config(&plain, "\"r\": 4", &format!("\"manyhands_base\": \"{ours}\", \"r\": 4"));
    let named = open(&named, &config);
    assert_ne!(id, named.id());
    named.check_base(&[another, ours]).expect("a model has several names");
    let error = named.check_base(&[another]).expect_err("another model").to_string();
    assert!(error.contains(&ours.to_string()), "{error}");
}
