# Sends dead letters, or every object of the source bucket, to the function. Sourced by deploy/aws/deploy.

# The stack's function and queue.
find_function() {
    account
    command -v python3 >/dev/null || fail "python3 is missing: install it"
    alias_arn=$(output FunctionAlias)
    queue=$(output DeadLetterQueueUrl)
    [[ $dry_run == no ]] || alias_arn=FUNCTION queue=QUEUE
    [[ -n $alias_arn && $alias_arn != None ]] || fail "there is no stack $stack in $region with a function, or it is older than this script: deploy it again"
}

# Each batch is one call of the function, which reports what is to be sent again. What fails for good becomes a new dead
# letter; the number at the start bounds the work, so that none is tried twice.
redrive() {
    local waiting sent=0 failed=0 counts
    find_function
    waiting=$(sqs get-queue-attributes --queue-url "$queue" --attribute-names ApproximateNumberOfMessages \
        --query Attributes.ApproximateNumberOfMessages --output text)
    [[ $dry_run == no ]] || waiting=1
    log "$waiting dead letters in $queue"
    while ((sent + failed < waiting)); do
        sqs receive-message --queue-url "$queue" --max-number-of-messages 10 --wait-time-seconds 2 \
            --visibility-timeout 900 --output json >"$workspace/received.json"
        if [[ $dry_run == yes ]]; then
            step aws lambda invoke --function-name "$alias_arn" --payload fileb://EVENT RESULT
            sqs delete-message-batch --queue-url "$queue" --entries file://DONE
            return
        fi
        [[ -s $workspace/received.json ]] || break
        python3 - "$workspace" <<'END'
import json, sys
folder = sys.argv[1]
with open(f"{folder}/received.json") as file:
    received = json.load(file).get("Messages", [])
records, size = [], 0
for one in received:
    size += len(json.dumps(one["Body"]))
    # A call has 6 MB at most; the others are visible again later.
    if records and size > 5_000_000:
        break
    records.append({"messageId": one["MessageId"], "eventSource": "aws:sqs", "body": one["Body"]})
with open(f"{folder}/event.json", "w") as file:
    json.dump({"Records": records}, file)
END
        invoke "$workspace/event.json"
        counts=$(python3 - "$workspace" <<'END'
import json, sys
folder = sys.argv[1]
read = lambda name: json.load(open(f"{folder}/{name}"))
failed = {one["itemIdentifier"] for one in read("result.json").get("batchItemFailures", [])}
handles = {one["MessageId"]: one["ReceiptHandle"] for one in read("received.json").get("Messages", [])}
sent = [one["messageId"] for one in read("event.json")["Records"]]
done = [{"Id": str(number), "ReceiptHandle": handles[id]} for number, id in enumerate(sent) if id not in failed]
with open(f"{folder}/done.json", "w") as file:
    json.dump(done, file)
print(len(done), len(sent) - len(done))
END
        )
        sent=$((sent + ${counts% *})) failed=$((failed + ${counts#* }))
        [[ ${counts% *} == 0 ]] ||
            sqs delete-message-batch --queue-url "$queue" --entries "file://$workspace/done.json" >/dev/null
    done
    log "$sent sent again, $failed failed and wait in the queue. What failed for good is a new dead letter, with its reason"
}

# Calls the function with an event; its answer is in result.json.
invoke() {
    local fault
    fault=$(aws lambda invoke --function-name "$alias_arn" --payload "fileb://$1" --query FunctionError --output text "$workspace/result.json") ||
        fail "the function cannot be called: let these credentials call it (lambda:InvokeFunction on $alias_arn)"
    [[ $fault == None || -z $fault ]] || fail "the function failed: $(<"$workspace/result.json")"
}

# Every object of the source bucket, in calls of at most 25. The function skips what its settings do not take, and what is
# up to date. For millions of objects use a queue or S3 Batch Operations, see docs/guides/aws.md.
backfill() {
    local bucket prefix token='' listed=0 failed=0 counts
    find_function
    bucket=$(output SourceBucketName) prefix=$(describe_stack "Stacks[0].Parameters[?ParameterKey=='Prefix'].ParameterValue")
    [[ $dry_run == no ]] || bucket=BUCKET
    log "every object in s3://$bucket/$prefix"
    while true; do
        s3api list-objects-v2 "$bucket" --prefix "$prefix" --max-items 25 --page-size 25 --output json \
            ${token:+--starting-token "$token"} --query '{Keys: Contents[].Key, Next: NextToken}' >"$workspace/page.json"
        if [[ $dry_run == yes ]]; then
            step aws lambda invoke --function-name "$alias_arn" --payload fileb://EVENT RESULT
            return
        fi
        token=$(python3 - "$workspace" "$bucket" <<'END'
import json, sys, urllib.parse
folder, bucket = sys.argv[1:]
text = open(f"{folder}/page.json").read()
page = json.loads(text) if text.strip() else {}
records = [
    {
        "messageId": key,
        "eventSource": "aws:sqs",
        "body": json.dumps({"Records": [{
            "eventName": "ObjectCreated:Backfill",
            "s3": {"bucket": {"name": bucket}, "object": {"key": urllib.parse.quote_plus(key)}},
        }]}),
    }
    for key in page.get("Keys") or []
]
with open(f"{folder}/event.json", "w") as file:
    json.dump({"Records": records}, file)
print(page.get("Next") or "")
END
        )
        if grep -q messageId "$workspace/event.json"; then
            invoke "$workspace/event.json"
            counts=$(python3 - "$workspace" <<'END'
import json, sys
folder = sys.argv[1]
failed = [one["itemIdentifier"] for one in json.load(open(f"{folder}/result.json")).get("batchItemFailures", [])]
for key in failed:
    print(f"   not rendered, run this again: {key}", file=sys.stderr)
print(len(json.load(open(f"{folder}/event.json"))["Records"]), len(failed))
END
            )
            listed=$((listed + ${counts% *})) failed=$((failed + ${counts#* }))
        fi
        [[ -n $token ]] || break
    done
    log "$listed objects, $failed of them failed for now"
    ((failed == 0))
}
